"""What llama.cpp's server and llama-cpp-python's have really sent, read whole, in single lines, and cut anywhere."""

from __future__ import annotations

import asyncio

import pytest

from llmstream.ollama.chunks import Chunk, joined
from llmstream.openai.events import Events
from llmstream.openai.upstream_from_settings import upstream_of
from llmstream.settings import Settings
from tests.support import DATA
from tests.support.answering import Outline, events_of, outline, raw_server
from tests.support.openai_server import openai_server

RECORDINGS = DATA / "recordings" / "llama-cpp"
SKY = ("token", "The sky is blue because air scatters blue light more than red light.")
STOP, LENGTH, CALLS = ("finished", "stop"), ("finished", "length"), ("finished", "tool_calls")
PARIS, ROME = (("tool_call", "get_weather", {"city": city}) for city in ("Paris", "Rome"))
TRUNCATED, ERROR = ("failed", "upstream_truncated", True), ("failed", "upstream_error", True)

ANSWERS: dict[str, Outline] = {
    "answer": [SKY, STOP],
    "thinking": [
        ("reasoning", "The user asks for 7 times 8. I know that 7 times 8 is 56. So the answer is 56."),
        ("token", "7 times 8 is 56."),
        STOP,
    ],
    "length": [("token", "1, 2,"), LENGTH],
    "emoji": [("token", "🙂 🚀 🌊 ✨ 🇫🇷 🇯🇵 👩\u200d🚀 👨\u200d👩\u200d👧 👍🏽 ❤️"), STOP],
    "tool-call": [PARIS, CALLS],
    "tool-calls-two": [PARIS, ROME, CALLS],
    "text-then-tool-call": [("token", "I will check the weather in Paris."), PARIS, CALLS],
    "thinking-then-tool-call": [
        ("reasoning", "The user wants the weather in Paris. I have a tool for that."), PARIS, CALLS,
    ],
    "tool-call-cut-by-length": [LENGTH],
    "tool-result": [("token", "In Paris it is 18 degrees and sunny."), STOP],
    "progress": [("token", " a"), LENGTH],
    "logprobs": [("token", "The sky is"), LENGTH],
    "prompt-too-long": [ERROR],
    "image": [ERROR],
    "no-key": [ERROR],
    "python-answer": [SKY, STOP],
    "python-length": [("token", "1, 2,"), LENGTH],
    "python-prompt-too-long": [TRUNCATED],
    "python-given-up": [("token", "On"), TRUNCATED],
}  # fmt: skip
TOLD = {
    "prompt-too-long": "The prompt is longer than the model's context of 2048 tokens.",
    "image": "image input is not supported",
    "no-key": "LLMSTREAM_UPSTREAM_KEY",
    "python-prompt-too-long": "a prompt that is too long",
    "python-given-up": "without saying that it was complete",
}


def recorded(name: str) -> bytes:
    """The bytes of a recorded answer."""
    return (RECORDINGS / f"{name}.http").read_bytes()


def body_of(answer: bytes) -> bytes:
    """The body of an answer without the framing of its HTTP chunks."""
    body, rest = b"", answer.partition(b"\r\n\r\n")[2]
    while (size := int(rest.partition(b"\r\n")[0] or b"0", 16)) > 0:
        rest = rest.partition(b"\r\n")[2]
        body, rest = body + rest[:size], rest[size + 2 :]
    return body


def read(body: bytes) -> tuple[list[Chunk], bool]:
    """The chunks of a body that ends here, joined, and whether it is told as broken off."""
    events = Events()
    chunks, error = events.decode(body.rpartition(b"\n")[0])
    if error is None and not (chunks and chunks[-1].done):
        more, error = events.end()
        chunks += more
    return joined(chunks), error is not None


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers(name: str) -> None:
    """Every recorded answer is read as what it is, and a fault is told in words."""
    async with openai_server(recorded(name)) as server:
        events = await events_of(settings=Settings(upstream=server.url, model="m"))
    assert ANSWERS[name] == outline(events)
    assert TOLD.get(name, "") in getattr(events[-1], "message", "")


async def test_usage() -> None:
    """The tokens are llama.cpp's own count; llama-cpp-python tells none."""
    counted = []
    for name in ("answer", "python-answer"):
        async with openai_server(recorded(name)) as server:
            usage = (await events_of(settings=Settings(upstream=server.url, model="m")))[-1].usage  # type: ignore[union-attr]
        counted.append((usage.input_tokens, usage.output_tokens))
    assert [(11, 15), (None, None)] == counted


async def test_models() -> None:
    """The list of models tells which server it is, and how large the model."""

    async def listing(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(recorded("models"))

    async with raw_server(listing) as (url, _):
        upstream = await upstream_of(Settings(upstream=f"{url}/v1"))
        assert [("tiny-chat", 2101760)] == [(model.name, model.size) for model in await upstream.models()]
        assert "llama.cpp" == await upstream.kind()


@pytest.mark.parametrize("name", [name for name, found in ANSWERS.items() if found[-1][0] == "finished"])
def test_cut_anywhere(name: str) -> None:
    """What ends before its `finish_reason` is never complete; one line at a time says the same as all at once."""
    body = body_of(recorded(name))
    whole, is_cut = read(body)
    assert not is_cut
    by_line, events = [], Events()
    for line in body.splitlines():
        by_line += events.decode(line)[0]
    assert whole == joined(by_line)
    reason = next(at for at in range(len(body)) if body.startswith((b'"finish_reason":"', b'"finish_reason": "'), at))
    for end in range(reason):
        assert read(body[:end])[1], end


def test_progress() -> None:
    """How much of the prompt has been read comes in steps, up to all of it."""
    chunks, _ = Events().decode(body_of(recorded("progress")))
    steps = [(each.prompt_eval_completed, each.prompt_eval_total) for each in chunks if each.prompt_eval_total]
    assert [(read, 308) for read in (0, 64, 128, 192, 256, 308)] == steps
