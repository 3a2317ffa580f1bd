"""The run log: the ordered events of every run, numbered 1, 2, 3 …; what any implementation of it promises.

The contract is made so that a store shared by several processes fits it: numbers are explicit (in Redis Streams an
entry's id would be `<seq>-0`, so that appending again what was stored already changes nothing), `append` never waits (a
store that does I/O writes behind, in order, and in batches), and whoever wants a run to end tells the log, which calls
the owner back (`NewRun.on_cancel`), in whatever process it is. A lease that says the owner lives is the log's own
affair: it begins with `create` and ends with `close`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from llmstream.events import CancelledBy, Event

if TYPE_CHECKING:
    from llmstream.runs.memory import MemoryLog

# The number of the end of a run whose owner died. Its followers may have seen more events than anybody kept, so the end
# comes after all numbers there can be; every other event's number is the one before plus 1.
END_OF_LOST = 999_999_999


class PositionLost(Exception):
    """A follower's position can't be honoured; `reason` is a short word for the client.

    It is future, invalid, trimmed (events after it are gone) or lost (all of them are).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run to be created.

    caller: whom it belongs to; "" where callers are not told apart.
    key: the request's key, which starts at most one run per caller; fingerprint: of the request, to tell another one.
    grace_s: how long it may go on with nobody following, in seconds; before the first follower at least 5.
    on_cancel: called once when somebody asks the run to stop, or everybody left it; in the owner's event loop.
    on_lost: called once when others were told that the run is lost, because its owner seemed dead to them.
    caller_limit: how many runs the caller may have at once, in all processes; 0 means any number.
    """

    id: str
    caller: str = ""
    key: str | None = None
    fingerprint: str = ""
    grace_s: float = 5
    on_cancel: Callable[[CancelledBy], None]
    on_lost: Callable[[], None] = lambda: None
    caller_limit: int = 0


@dataclass(frozen=True)
class RunInfo:
    """The facts known of a run: the numbers of its first and last event, and if it has ended."""

    id: str
    caller: str
    first: int
    last: int
    ended: bool


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Events that are ready together, numbered from `first` on; none when the follower's idle time passed."""

    first: int
    events: Sequence[Event]


class RunLog(ABC):
    """The place where runs are recorded and followed.

    local: the log of the runs of this process, which also has what they were asked.
    """

    local: MemoryLog

    @abstractmethod
    async def create(self, run: NewRun) -> str:
        """Makes room for a run; returns the id of the run of the caller's key, which may be an earlier one.

        Raises `KeyConflict` where the key was used with another fingerprint, `TooManyRuns` beyond the caller's limit,
        `StoreUnavailable` where nobody can tell.
        """

    @abstractmethod
    async def find(self, caller: str, key: str, fingerprint: str) -> str | None:
        """The run that a caller's key belongs to; raises `KeyConflict` as `create` does."""

    @abstractmethod
    def append(self, run_id: str, events: Sequence[Event]) -> None:
        """Adds events that are ready together. They get the next numbers. Never waits."""

    @abstractmethod
    async def close(self, run_id: str) -> None:
        """Closes a run that has ended: nothing will be appended, and after the replay time it is forgotten."""

    @abstractmethod
    async def info(self, run_id: str, *, allow_stale: bool = False) -> RunInfo | None:
        """The facts known of a run; None for one that is unknown or forgotten.

        allow_stale: whether they may be those that followers here saw last; whose run it is never changes.
        """

    async def settle(self, run_id: str) -> None:  # noqa: B027 - most logs have nothing to do
        """Waits for the end of a run whose owner seems to have died, until that is sure; for no other."""

    @abstractmethod
    def follow(self, run_id: str, after: int, *, idle_s: float, watching: bool = True, at_least: int = 0) -> Follower:
        """The events after number `after`, and then those to come.

        An empty batch comes after `idle_s` seconds without an event. With `watching`, the run counts as watched until
        the follower is closed. at_least: the number of the last event the client has, where that is another one.
        Raises `RunNotFound`, or `PositionLost` where not every event after the position is there; of a run in another
        process the follower raises them, and `StoreUnavailable`.
        """

    @abstractmethod
    async def cancel(self, run_id: str, by: CancelledBy) -> bool:
        """Asks the run's owner to end it; False where it had ended."""

    @abstractmethod
    async def swap(self, caller: str, chat: str, run_id: str, note: str) -> str | None:
        """Makes a run the last one of a chat, with a note; returns the id of the one before."""

    @abstractmethod
    async def succeed(self, caller: str, chat: str, cut: str, run_id: str) -> bool:
        """Makes a run the last one of a chat in the place of one that was cut, with its note.

        False where that is not the last one any more. In one step: another one may begin at the same moment.
        """

    @abstractmethod
    async def named(self, caller: str, chat: str) -> tuple[str, str] | None:
        """The last run of a chat and its note."""

    async def question(self, run_id: str) -> bytes | None:
        """The question of a run of any process, as `stored_question` gave it to the store; None where there is none."""
        return None

    async def start(self) -> None:  # noqa: B027 - most logs have nothing to do
        """Finds out if this log can be used; raises `SettingsError`. The log may be used without this call."""

    def figures(self) -> dict[str, float]:
        """Figures of a shared store for Prometheus, by name; those whose names end in `_total` only grow."""
        return {}

    def health(self) -> dict[str, object] | None:
        """The shared store for `/health`: kind, reachable, version; None for a log that has none."""
        return None

    def leave(self) -> None:  # noqa: B027 - most logs have nothing to do
        """Ends the followers of runs in other processes: this one is going down, and they can come back elsewhere."""

    async def aclose(self) -> None:  # noqa: B027 - most logs have nothing to do
        """Brings what was appended to where others find it, for at most 2 s, and lets go of everything."""


class Follower(ABC, AsyncIterator[Batch]):
    """Batches of a run's events, ending after the one with the terminal event.

    idle_s: see `RunLog.follow`; may be changed between two batches.
    """

    idle_s: float

    @abstractmethod
    def close(self) -> None:
        """Stops following; a waiting `__anext__` ends. May be called more than once."""
