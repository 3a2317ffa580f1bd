"""The last run of each chat, for dialects whose clients name their conversation."""

from __future__ import annotations

from contextlib import suppress
from typing import TypeVar

import msgspec

from llmstream.errors import RunNotFound, StoreCorrupt
from llmstream.events import CancelledBy, Interrupt
from llmstream.http.ask import Ask
from llmstream.http.asker import Asker
from llmstream.http.service import Service
from llmstream.runs.run import OnLeave, Run

T = TypeVar("T")


def read_note(note: str, kind: type[T]) -> T:
    """The value that was noted as JSON beside a run; raises `StoreCorrupt` where that is something else."""
    try:
        return msgspec.json.decode(note, type=kind)
    except (msgspec.MsgspecError, RecursionError):
        raise StoreCorrupt from None


class Chats:
    """The last run of each chat of a dialect; a new message in a chat replaces the run that still goes on."""

    def __init__(self, service: Service, dialect: str) -> None:
        self._service = service
        self._dialect = dialect

    async def start(self, chat: str, ask: Ask, asker: Asker, *, note: str = "", on_leave: OnLeave = "cancel") -> Run:
        """Starts a run in a chat, unless this request has before; `note` is kept with it.

        An answer to what the chain has asked replaces no run: what goes on may come of somebody else's answer.
        """
        log, caller, named = self._service.runs.log, asker.caller, self._named(chat)
        if (earlier := await self._service.runs.earlier(caller, asker.key, asker.fingerprint)) is not None:
            return earlier
        if ask.resume is None:
            await self.stop(caller, chat, "replaced")
        run = await self._service.start(ask, asker, chat=named, on_leave=on_leave)
        before = await log.swap(caller, named, run.id, note)
        if before is not None and before != run.id:  # another message may have come in the meantime
            with suppress(RunNotFound):
                await log.cancel(before, "replaced")
        return run

    async def keep(self, caller: str, run: Run, note: str) -> None:
        """Keeps a note with a run, which is found as a chat by the run's id."""
        await self._service.runs.log.swap(caller, self._named(run.id), run.id, note)

    async def asked(self, caller: str, chat: str) -> list[Interrupt]:
        """The questions of the last run of a chat to a person."""
        with suppress(RunNotFound):
            last = await self.last(caller, chat)
            return [] if last is None else (await last[0].snapshot()).interrupts or []
        return []

    def _named(self, chat: str) -> str:
        return f"{self._dialect}:{chat}"

    async def stop(self, caller: str, chat: str, by: CancelledBy) -> bool:
        """Ends the run that goes on in a chat; False where none does."""
        found = await self.active(caller, chat)
        return found is not None and await found[0].stop(by)

    async def last(self, caller: str, chat: str) -> tuple[Run, str] | None:
        """The last run of a chat, and its note; None once it is forgotten."""
        last = await self._service.runs.log.named(caller, self._named(chat))
        if last is None:
            return None
        with suppress(RunNotFound):
            return await self._service.runs.get(last[0], caller=caller), last[1]
        return None

    async def active(self, caller: str, chat: str) -> tuple[Run, str] | None:
        """The run that goes on in a chat, and its note."""
        last = await self.last(caller, chat)
        return last if last is not None and last[0].found is not None and not last[0].found.ended else None
