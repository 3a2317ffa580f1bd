"""The events of a thread that a client listens to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

# Where an event is told under another name than its own.
_CHANNELS = {"input.requested": "input"}
CHANNELS = ("values", "messages", "tools", "lifecycle", "input", "custom")


@dataclass(frozen=True)
class Wanted:
    """A client's filter; since: the number of the last event that it has."""

    channels: Collection[str] = CHANNELS
    since: int = 0

    def shows(self, method: str, name: str = "") -> bool:
        """True if events of a method are wanted; name: of a custom one."""
        channel = _CHANNELS.get(method, method)
        return channel in self.channels or (channel == "custom" and f"custom:{name}" in self.channels)


ALL = Wanted()
