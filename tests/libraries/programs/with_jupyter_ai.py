"""A Jupyter AI persona on a chat without clients: the file in the first argument."""

import asyncio
import os
import runpy
import sys
from pathlib import Path

from jupyterlab_chat.models import Message
from jupyterlab_chat.websocket_model import WsChatModel


class Chat(WsChatModel):
    """A chat that says when something is added to a message."""

    def __init__(self) -> None:
        super().__init__("test.chat", Path.cwd())
        self.written = asyncio.Event()

    def update_message(self, *update: object, **options: object) -> None:
        super().update_message(*update, **options)
        self.written.set()


Persona = runpy.run_path(sys.argv[1])["Persona"]


async def asked(question: str, *, stop: bool = False) -> list[str]:
    """What the chat has after a question."""
    chat = Chat()
    persona = Persona(chat=chat)
    answering = asyncio.create_task(persona.on_message(Message(id="1", body=question, time=0, sender="me")))
    if stop:
        await chat.written.wait()
        await persona.cancel_response()
    await answering
    return [each.body for each in chat.get_messages()]


async def main() -> None:
    """Exits with an error where the persona does not say what it should."""
    (whole,) = await asked("All of it?")
    assert whole == " ".join(f"word{number}" for number in range(100)), whole
    *_, told = await asked("For nobody?", stop=True)
    assert told == "**Stopped.**", told
    os.environ["LLMSTREAM_MODEL"] = "demo:error-line"
    *_, told = await asked("The half of it?")
    assert "broke off" in told, told


asyncio.run(main())
