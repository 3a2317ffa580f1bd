"""The last run of each chat, for dialects whose clients name their conversation."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import Any

from llmstream.errors import RunNotFound
from llmstream.events import CancelledBy, Interrupt
from llmstream.http.ask import Ask
from llmstream.http.service import Service
from llmstream.runs.run import Run

_CHATS_KEPT = 10_000


class Chats:
    """The last run of each chat; a new message in a chat replaces the run that still goes on."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._last: OrderedDict[tuple[str, str], tuple[str, Any]] = OrderedDict()

    async def start(
        self, chat: str, ask: Ask, *, caller: str, key: str | None, note: Any = None, **options: Any
    ) -> Run:
        """Start a run in a chat; `note` is kept with it."""
        log = self._service.runs.log
        if key is None or await log.find(caller, key, options["fingerprint"]) is None:
            await self.stop(caller, chat, "replaced")
        run = await self._service.start(ask, caller=caller, key=key, **options)
        if self._last.get((caller, chat), ("",))[0] != run.id:  # another message may have come in the meantime
            await self.stop(caller, chat, "replaced")
        self._last[caller, chat] = (run.id, note)
        self._last.move_to_end((caller, chat))
        while len(self._last) > _CHATS_KEPT:
            self._last.popitem(last=False)
        return run

    async def asked(self, caller: str, chat: str) -> list[Interrupt]:
        """What the last run of a chat wants to know from a person."""
        run_id, _ = self._last.get((caller, chat), ("", None))
        with suppress(RunNotFound):
            run = await self._service.runs.get(run_id, caller=caller)
            return (await run.snapshot()).interrupts or []
        return []

    async def stop(self, caller: str, chat: str, by: CancelledBy) -> bool:
        """End what goes on in a chat; False where nothing does."""
        found = await self.active(caller, chat)
        return found is not None and await found[0].stop(by)

    async def active(self, caller: str, chat: str) -> tuple[Run, Any] | None:
        """The run that goes on in a chat, and its note."""
        run_id, note = self._last.get((caller, chat), ("", None))
        with suppress(RunNotFound):
            run = await self._service.runs.get(run_id, caller=caller)
            return None if (await run.position())[0] else (run, note)
        return None
