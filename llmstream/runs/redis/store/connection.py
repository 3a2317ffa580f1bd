"""The link to Redis: commands with deadlines, and one place that knows whether the store is there."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from hiredis import pack_command
from redis.exceptions import ConnectionError as Cut
from redis.exceptions import NoScriptError, OutOfMemoryError, RedisError, ResponseError

from llmstream.errors import StoreFull, StoreUnavailable
from llmstream.runs.redis.store.address import connections_to, reason, shown
from llmstream.runs.redis.store.cluster import ELSEWHERE, ClusterConnections
from llmstream.runs.redis.store.scripts import SCRIPTS, Script

logger = logging.getLogger("llmstream")

# Commands in flight at once, and so connections, beside the one that listens.
_CONNECTIONS = 8
# How many runs one call is about at most, so that the store has time for others in between.
CALL_RUNS = 128
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
# How often it is told that the store is away, in seconds, at most: it may come and go.
_TOLD_EVERY_S = 60.0

Command = tuple[Any, ...]


class Link:
    """The connections to the server at `url` that has `key`, and the commands over them; lives in one event loop.

    up: whether the store answered last; while it does not, everything is refused at once and one probe a second looks
    whether it is back. probe: what is sent for that; it must be a write, for a server may answer and take nothing.
    on_up: called each time the store is back, in the loop's time `up_since`; on_cut: each time it answers all the same
    after connections were cut, perhaps as another server that lacks something.
    """

    def __init__(self, url: str, *, key: str, name: str, timeout_s: float) -> None:
        self.address = shown(url)
        self.up = True
        self.up_since = 0.0
        self.full = False
        self.version: str | None = None
        self.reconnects = 0
        self.probe: Callable[[], Awaitable[object]] = lambda: self.try_all([("PING",)])
        self.on_up: list[Callable[[], None]] = []
        self.on_cut: list[Callable[[], None]] = []
        self.timeout_s = timeout_s
        self.connections = connections_to(url, key=key, name=name, timeout_s=timeout_s)
        self.is_cluster = isinstance(self.connections, ClusterConnections)
        self._idle: list[Any] = []
        self._places = asyncio.Semaphore(_CONNECTIONS)
        self._back = asyncio.Event()
        self._back.set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._pause_s = _FIRST_PAUSE_S
        self._told_at, self._is_told = -_TOLD_EVERY_S, False

    def connection(self) -> Any:
        """A new connection for one caller alone, not yet connected."""
        return self.connections.make_connection()

    def patience_s(self, lease_s: float) -> float:
        """The time after the store is back, in seconds, until every other process that lives is back too."""
        return max(lease_s, 2 * self.timeout_s + _LONGEST_PAUSE_S)

    def is_settled(self, lease_s: float) -> bool:
        """True if every other process that lives is back too, and has written again what the store had lost."""
        return self.up and asyncio.get_running_loop().time() - self.up_since > self.patience_s(lease_s)

    def spawn(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[Any]:
        """Starts work that nobody waits for, in a context of its own: the caller's would live as long."""
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def live(self, *parts: Callable[[], Awaitable[None]]) -> None:
        """Runs parts that never end by themselves; at the end of the loop lets go of all connections."""
        for part in parts:
            self.spawn(self._for_ever(part))

    async def _for_ever(self, part: Callable[[], Awaitable[None]]) -> None:
        try:
            while True:
                try:
                    await part()
                except Exception:
                    logger.exception("a part of the store's client ended by an error of its own, and begins anew")
                    await asyncio.sleep(_LONGEST_PAUSE_S)
        finally:
            self._closed = True
            await self._drop_idle()

    async def command(self, *command: Any) -> Any:
        """The answer to one command."""
        (answer,) = await self.commands([command])
        return answer

    async def commands(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to commands sent together; raises `StoreFull` or `StoreUnavailable`."""
        if not self.up or self._closed:
            raise StoreUnavailable
        try:
            async with asyncio.timeout(self.timeout_s), self._places:
                answers = await self._exchange_twice(commands)
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        except OutOfMemoryError:
            self.full = True
            raise StoreFull from None
        except NoScriptError:
            raise
        except (RedisError, OSError, TimeoutError) as error:
            self.lost(error)
            raise StoreUnavailable from None
        return answers

    async def run(self, script: Script, keys: Sequence[str], *arguments: Any) -> Any:
        """The answer of a script."""
        (answer,) = await self.run_all([script.call(keys, *arguments)])
        return answer

    async def run_all(self, calls: Sequence[Command]) -> list[Any]:
        """The answers of scripts that are sent together."""
        loading = list[Command]()
        for _ in range(2):
            try:
                return (await self.commands([*loading, *calls]))[len(loading) :]
            except NoScriptError:  # a server that was restarted, or another one
                loading = [("SCRIPT", "LOAD", each.source) for each in SCRIPTS]
        raise StoreUnavailable

    async def _exchange_twice(self, commands: Sequence[Command]) -> list[Any]:
        try:
            return await self.try_all(commands)
        except Cut:  # one that was closed while it rested; so are the others
            await self._drop_idle()
            answers = await self.try_all(commands)
        for each in self.on_cut:
            each()
        return answers

    async def try_all(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to commands, refusals among them, also where the store is thought to be away."""
        connection = self._idle.pop() if self._idle else self.connection()
        answers: list[Any] = []
        try:
            if not connection.is_connected:
                await connection.connect()
            # redis-py's own packing, in Python, takes as long as all else that a call costs.
            await connection.send_packed_command(b"".join(map(pack_command, commands)), check_health=False)
            for _ in commands:
                try:
                    answers.append(await connection.read_response())
                except ResponseError as error:
                    answers.append(error)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        if any(isinstance(answer, ELSEWHERE) for answer in answers) or self._closed:
            await connection.disconnect(nowait=True)  # no longer the master: ask for its address again
        else:
            self._idle.append(connection)
        return answers

    async def _drop_idle(self) -> None:
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)

    def lost(self, error: BaseException) -> None:
        """Notes that the store does not answer, or takes nothing."""
        if self.up and not self._closed:
            self.up = False
            self._back.clear()
            if asyncio.get_running_loop().time() - self.up_since > _LONGEST_PAUSE_S:
                self._pause_s = _FIRST_PAUSE_S  # else it answers the probe, and nothing else
            self._tell(error)
            self.spawn(self._wait_for_it())

    def _tell(self, error: BaseException) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= _TOLD_EVERY_S:
            self._told_at, self._is_told = now, True
            logger.warning("the store at %s is away (%s); answers go on", self.address, reason(error))

    async def _wait_for_it(self) -> None:
        while True:
            await self._drop_idle()
            await asyncio.sleep(self._pause_s * random.uniform(0.5, 1))
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
            try:
                async with asyncio.timeout(self.timeout_s):
                    await self.probe()
                break
            except OutOfMemoryError:
                self.full = True  # what is there can be read
                break
            except (RedisError, OSError, TimeoutError) as error:
                self._tell(error)
        self.up, self.up_since = True, asyncio.get_running_loop().time()
        self.reconnects += 1
        self._back.set()
        if self._is_told:
            self._is_told = False
            logger.warning("the store at %s is back", self.address)
        for each in self.on_up:
            each()

    async def wait(self) -> None:
        """Waits until the store is there."""
        await self._back.wait()

    async def once(self, *command: Any) -> None:
        """Sends one command, also where the store is thought to be away; raises what went wrong."""
        (answer,) = await self.try_all([command])
        if isinstance(answer, Exception):
            raise answer

    async def aclose(self) -> None:
        """Lets go of all connections."""
        self._closed = True
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._drop_idle()
        if not self.is_cluster:
            await self.connections.aclose()
