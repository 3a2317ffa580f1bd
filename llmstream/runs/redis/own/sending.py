"""The call that brings several runs into the store: their entries together, then what ends or is asked, each alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmstream.runs.redis.own.owned import News, Owned
from llmstream.runs.redis.store.connection import Link
from llmstream.runs.redis.store.keys import Keys, Times
from llmstream.runs.redis.store.scripts import APPEND, SETTLE, STATES

Part = tuple[Owned, News]


class Sender:
    """Sends what is new of the runs of a process, `node`."""

    def __init__(self, link: Link, keys: Keys, node: str, times: Times) -> None:
        self._link = link
        self._keys = keys
        self._node = node
        self._times = times

    async def send(self, parts: Sequence[Part]) -> tuple[dict[int, list[Any]], set[int]]:
        """The states of parts that are not in the store as was thought, or bring no entry; those whose end it took.

        A state is {o, n, s, x, r}, or an error alone where the store did not take an entry.
        """
        append, of = self._append(parts)
        silent = [number for number, (_, news) in enumerate(parts) if not news.entries]
        settling = [number for number, (_, news) in enumerate(parts) if news.settles]
        calls = [append] if of else []
        if silent:
            calls.append(STATES.call([parts[number][0].keys[0] for number in silent]))
        calls += [self._settle(parts[number]) for number in settling]
        answers = iter(await self._link.run_all(calls))
        refused = {of[at - 1]: state for at, *state in reversed(next(answers))} if of else {}
        looked = next(answers) if silent else ()
        settled = {number for number, done in zip(settling, answers, strict=True) if done}
        return refused | dict(zip(silent, looked, strict=True)), settled

    def _append(self, parts: Sequence[Part]) -> tuple[tuple[Any, ...], list[int]]:
        """The command for all entries, and of each the number of its part."""
        keys, arguments, of = list[str](), list[Any](), list[int]()
        for number, (owned, news) in enumerate(parts):
            known = owned.known
            for id_, data in news.entries:
                keys += owned.keys[:2]
                arguments += (known, id_, owned.followers, data)
                of.append(number)
                known = id_
        return APPEND.call(keys, self._times.ttl, self._keys.nodes, *arguments), of

    def _settle(self, part: Part) -> tuple[Any, ...]:
        owned, news = part
        times = (self._times.ttl, self._times.replay, self._times.tomb)
        arguments = (self._node, news.ends, news.last, news.question or b"", *times, self._keys.nodes)
        return SETTLE.call(owned.keys, *arguments)
