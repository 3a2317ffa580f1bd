"""A way to Redis on which connections that hear of news can be made deaf: they stay open, and nothing comes."""

from __future__ import annotations

import asyncio
from typing import Self


class Deafening:
    """Listens on a port of its own and passes everything on."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self._port = port
        self._listening: list[asyncio.Event] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def deafen(self) -> None:
        """From now on nothing comes on the connections that subscribed so far."""
        for deaf in self._listening:
            deaf.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._pass_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        deaf = asyncio.Event()
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
        ways = [
            asyncio.create_task(self._up(reader, up_writer, deaf)),
            asyncio.create_task(_down(up_reader, writer, deaf)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in (writer, up_writer):
                end.close()
                await asyncio.gather(end.wait_closed(), return_exceptions=True)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deaf: asyncio.Event) -> None:
        while data := await reader.read(65536):
            if b"SUBSCRIBE" in data:
                self._listening.append(deaf)
            writer.write(data)


async def _down(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deaf: asyncio.Event) -> None:
    while data := await reader.read(65536):
        if not deaf.is_set():
            writer.write(data)
