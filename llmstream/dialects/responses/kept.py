"""The responses of each caller, by their ids and by those of their items, as long as the log keeps their runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from llmstream.dialects.responses.encoder import ResponsesEncoder
from llmstream.dialects.responses.items import Item
from llmstream.dialects.responses.resource import RepeatedFields
from llmstream.errors import InvalidRequest, RunNotFound
from llmstream.events import Event, Reasoning, Token, Withdrawn
from llmstream.http.chat_runs import read_note
from llmstream.http.service import Service
from llmstream.runs.run import Run

_RESPONSE = re.compile(r"resp_([0-9a-z]{1,64})")
_ITEM = re.compile(r"(?:msg|rs|fc)_([0-9a-z]{1,64})_\d{1,10}")


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """The record of a response beside its run.

    thread: on which its chain goes on, where it keeps any. deleted: whether its client wants it gone.
    """

    said: RepeatedFields = msgspec.field(default_factory=RepeatedFields)
    thread: str | None = None
    deleted: bool = False


class KeptResponses:
    """The responses that a service has given."""

    def __init__(self, service: Service) -> None:
        self._runs = service.runs

    async def keep(self, run: Run, caller: str, note: Note) -> None:
        """Keeps the note, unless the run has one: a request that is sent again starts no other."""
        if await self._runs.log.named(caller, _named(run.id)) is None:
            await self._runs.log.swap(caller, _named(run.id), run.id, msgspec.json.encode(note).decode())

    async def find(self, id: str, caller: str) -> tuple[Run, Note]:
        """A response's run and note; raises `RunNotFound`."""
        match = _RESPONSE.fullmatch(id)
        if match is None:
            raise _not_found(id)
        try:
            run = await self._runs.get(match[1], caller=caller)
        except RunNotFound:
            raise _not_found(id) from None
        kept = await self._runs.log.named(caller, _named(run.id))
        note = read_note(kept[1], Note) if kept else Note()
        if note.deleted:
            raise _not_found(id)
        return run, note

    async def delete(self, id: str, caller: str) -> None:
        """Ends the response, and gives it to nobody any more; raises `RunNotFound`."""
        run, note = await self.find(id, caller)
        await run.stop()
        deleted = msgspec.structs.replace(note, deleted=True)
        await self._runs.log.swap(caller, _named(run.id), run.id, msgspec.json.encode(deleted).decode())

    async def thread(self, id: str, caller: str) -> str:
        """The thread of an earlier response; raises `InvalidRequest` where nobody knows it."""
        try:
            _, note = await self.find(id, caller)
        except RunNotFound as error:
            raise InvalidRequest(error.message) from None
        if note.thread is None:
            raise InvalidRequest(f"The response {id!r} has no thread. Send the whole conversation as `input`.")
        return note.thread

    async def items(self, ids: Sequence[str], caller: str) -> dict[str, Item]:
        """The items of earlier responses by their ids; raises `InvalidRequest` for one that is not there."""
        found: dict[str, Item] = {}
        for name in ids:
            if name not in found and (match := _ITEM.fullmatch(name)):
                found |= await self._items_of(f"resp_{match[1]}", caller)
            if name not in found:
                raise InvalidRequest(
                    f"The item {name[:80]!r} is not here, or no more; send items whole (`store: false`)."
                )
        return found

    async def _items_of(self, id: str, caller: str) -> dict[str, Item]:
        try:
            run, note = await self.find(id, caller)
            events, _ = await run.recorded()
        except RunNotFound:
            return {}
        streamed, standing = ResponsesEncoder(run.id, note.said), whole(run.id, note.said, events)
        streamed.encode(1, events)
        return {item["id"]: item for item in (*streamed.response["output"], *standing["output"])}


def whole(run_id: str, said: RepeatedFields, events: Sequence[Event]) -> dict[str, Any]:
    """The response that these events make, without what was taken back."""
    encoder = ResponsesEncoder(run_id, said)
    for place, event in _standing(events):
        encoder.encode(place, [event])
    return encoder.response


def _standing(events: Sequence[Event]) -> Iterable[tuple[int, Event]]:
    """The numbered events without the pieces of messages that were withdrawn after them."""
    drafts: dict[str | None, int] = {each.message: n for n, each in enumerate(events, 1) if isinstance(each, Withdrawn)}
    for place, event in enumerate(events, 1):
        if not (isinstance(event, Token | Reasoning) and drafts.get(event.message, 0) > place):
            yield place, event


def _named(run_id: str) -> str:
    return f"responses:{run_id}"


def _not_found(id: str) -> RunNotFound:
    return RunNotFound(f"There is no response {id[:80]!r} here, or it has expired. Ask anew.")
