"""A client that leaves a stream which stays open by design, as soon as it has begun."""

from __future__ import annotations

import asyncio
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A thread is followed through all the runs to come.
_STAYS_OPEN = re.compile(r"/threads/[^/]*/stream(/events)?")


class Leaving:
    """A middleware that is such a client: what the app has begun to say, it ends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _STAYS_OPEN.fullmatch(scope["path"]):
            return await self._app(scope, receive, send)
        begun = asyncio.Event()
        is_read = False

        async def received() -> Message:
            nonlocal is_read
            if is_read:
                await begun.wait()
                return {"type": "http.disconnect"}
            message = await receive()
            is_read = not message.get("more_body")
            return message

        async def sent(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body":
                begun.set()

        await self._app(scope, received, sent)
