"""The names that every process knows: of a request key's run, of the last run of a chat, of a run's question."""

from __future__ import annotations

from collections.abc import Mapping

from llmstream.errors import KeyConflict
from llmstream.runs.redis.own.owned import Owned
from llmstream.runs.redis.store.codec import text
from llmstream.runs.redis.store.connection import Link
from llmstream.runs.redis.store.keys import Keys
from llmstream.runs.redis.store.scripts import SUCCEED
from llmstream.runs.stored_question import MOST_BYTES


class Names:
    """The names in the store. ttl: of a chat's, in ms. owned: the runs of this process."""

    def __init__(self, link: Link, keys: Keys, ttl: int, owned: Mapping[str, Owned]) -> None:
        self._link = link
        self._keys = keys
        self._ttl = ttl
        self._owned = owned

    async def find(self, caller: str, key: str, fingerprint: str) -> str | None:
        """The run that a caller's key belongs to; raises `KeyConflict` where that is another request's."""
        known = await self._link.command("GET", self._keys.key(caller, key))
        if known is None:
            return None
        run_id, _, asked = text(known).partition(" ")
        if asked != fingerprint:
            raise KeyConflict
        return run_id

    async def question(self, run_id: str) -> bytes | None:
        """The question of a run, as `stored_question` reads it; a longer one up to where that sees it."""
        return await self._link.command("GETRANGE", self._keys.question(run_id), 0, MOST_BYTES) or None

    async def swap(self, caller: str, chat: str, run_id: str, note: str) -> str | None:
        """Makes a run the last one of a chat; the id of the one before."""
        key = self._keys.chat(caller, chat)
        found = await self._link.command("SET", key, f"{run_id} {note}", "PX", self._ttl, "GET")
        before = None if found is None else text(found).partition(" ")[0]
        if (owned := self._owned.get(run_id)) is not None:
            owned.chats[key] = (before or "", note)
        return before

    async def succeed(self, caller: str, chat: str, cut: str, run_id: str) -> bool:
        """Makes a run the last one of a chat, if the cut one is that still."""
        key = self._keys.chat(caller, chat)
        note = await self._link.run(SUCCEED, [key], cut, run_id, self._ttl)
        if note is not None and (owned := self._owned.get(run_id)) is not None:
            owned.chats[key] = (cut, text(note))
        return note is not None

    async def again(self, owned: Owned) -> None:
        """Makes a run that the store lost the last one of its chats again, where no later one is that."""
        for key, (before, note) in list(owned.chats.items()):
            await self._link.run(SUCCEED, [key], before, owned.new.id, self._ttl, note)

    async def named(self, caller: str, chat: str) -> tuple[str, str] | None:
        """The last run of a chat, and its note."""
        found = await self._link.command("GET", self._keys.chat(caller, chat))
        if found is None:
            return None
        run_id, _, note = text(found).partition(" ")
        return run_id, note
