"""A way to Redis that can be made deaf, cut, held up or closed, while Redis and whoever talks to it know nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Literal, Self, cast

Cut = Literal["before", "after"]

# Turns of the loop until a connection is let go of that came at the very moment when its way ended.
_LAST_STEPS = 10


class Way:
    """Listens on a port of its own and passes everything on."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self._port = port
        self._listening: list[asyncio.Event] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._cuts: deque[Cut] = deque()
        self._open = True
        self._delay_s = 0.0
        self._flows = asyncio.Event()
        self._flows.set()
        self.most = 0
        self._counted = b"nothing"
        self._under_way: set[asyncio.Event] = set()
        self._said: tuple[bytes, bytes] = b"", b""

    def deafen(self) -> None:
        """From now on nothing comes on the connections that subscribed so far."""
        for deaf in self._listening:
            deaf.set()

    def cut(self, *cuts: Cut) -> None:
        """The next requests end their connections: before they arrive, or when they are done and before the answer."""
        self._cuts += cuts

    def hold(self) -> None:
        """From now on nothing moves; what was sent arrives after `mend`, also where nobody waits for it any more."""
        self._flows.clear()

    def close(self) -> None:
        """Ends all connections, and lets no new one through."""
        self._open = False
        for task in self._tasks:
            task.cancel()

    def slow(self) -> None:
        """From now on everything takes a while, as to another continent."""
        self._delay_s = 0.2

    def say(self, before: bytes, after: bytes) -> None:
        """From now on the server says something else, of the same length."""
        assert len(before) == len(after)
        self._said = before, after

    def count(self, word: bytes) -> None:
        """From now on `most` is how many requests with this word were there at once without an answer."""
        self.most, self._counted = 0, word

    def mend(self) -> None:
        """From now on everything goes through, at once."""
        self._delay_s = 0.0
        self._cuts.clear()
        self._open = True
        self._flows.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        self.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(_LAST_STEPS):
            await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        try:
            if self._open:
                await self._pass_on(reader, writer)
        except asyncio.CancelledError:
            pass  # closed
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        deaf, silent = asyncio.Event(), asyncio.Event()  # the second one stands for the connection, too
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return
        ways = [
            asyncio.create_task(self._up(reader, up_writer, deaf, silent)),
            asyncio.create_task(self._down(up_reader, writer, deaf, silent)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            up_writer.close()
            self._under_way.discard(silent)
            await asyncio.gather(*ways, return_exceptions=True)

    async def _up(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deaf: asyncio.Event, silent: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            await self._flows.wait()
            await asyncio.sleep(self._delay_s)
            if b"SUBSCRIBE" in data:
                self._listening.append(deaf)
            if self._cuts and b"CLIENT" not in data:  # with which each connection introduces itself
                if self._cuts.popleft() == "before":
                    return
                silent.set()
            if self._counted in data:
                self._under_way.add(silent)
                self.most = max(self.most, len(self._under_way))
            writer.write(data)

    async def _down(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deaf: asyncio.Event, silent: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            await self._flows.wait()
            self._under_way.discard(silent)
            if silent.is_set():
                return
            if not deaf.is_set():
                writer.write(data.replace(*self._said) if any(self._said) else data)
