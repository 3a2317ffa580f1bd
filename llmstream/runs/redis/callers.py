"""The number of runs that each caller has, in all processes together."""

from __future__ import annotations

from llmstream.errors import StoreUnavailable, TooManyRuns
from llmstream.runs.log import NewRun
from llmstream.runs.redis.store.connection import Link
from llmstream.runs.redis.store.keys import Keys
from llmstream.runs.redis.store.scripts import ADMIT


class Callers:
    """Counts runs that have a limit; `ttl` is how long a run may be active, in ms."""

    def __init__(self, link: Link, keys: Keys, ttl: int) -> None:
        self._link = link
        self._keys = keys
        self._ttl = ttl

    async def admit(self, run: NewRun) -> None:
        """Counts the run among its caller's; those that are no longer active count no more. Raises `TooManyRuns`."""
        callers, limit = self._keys.callers(run.caller), run.caller_limit
        active = await self._link.run(ADMIT, [callers], run.id, limit, self._ttl)
        if not active:
            return
        states = await self._link.commands([("HGET", self._keys.meta(each.decode()), "s") for each in active])
        over = [each for each, state in zip(active, states, strict=True) if state != b""]
        if over:
            await self._link.command("SREM", callers, *over)
            active = await self._link.run(ADMIT, [callers], run.id, limit, self._ttl)
        if active:
            raise TooManyRuns(f"You have {limit} answers under way, as many as one caller may. Wait for one to end.")

    def dismiss(self, run: NewRun) -> None:
        """Counts a run no more, which has ended or never began."""
        if run.caller_limit:
            self._link.spawn(self._dismiss(run))

    async def _dismiss(self, run: NewRun) -> None:
        try:
            await self._link.command("SREM", self._keys.callers(run.caller), run.id)
        except StoreUnavailable:
            return  # it is found out when its place is asked for
