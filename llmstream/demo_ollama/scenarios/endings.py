"""Scenarios of answers that end wrongly, early, late or never."""

from __future__ import annotations

import asyncio

from llmstream.demo_ollama.scenarios.scenario import JSON_TYPE, Call, Drop, Head, Steps, error_line_of, for_ever


async def no_done(call: Call) -> Steps:
    """The whole text, then a clean end without the last line."""
    for line in call.say():
        yield line


async def cut(call: Call) -> Steps:
    """The connection closes between two lines, as when the server is killed."""
    for line in call.say()[:5]:
        yield line
    yield Drop()


async def cut_line(call: Call) -> Steps:
    """The connection closes in the middle of a line."""
    lines = call.say()
    for line in lines[:5]:
        yield line
    yield lines[5][:40]
    yield Drop()


async def cut_once(call: Call) -> Steps:
    """The first request is cut after one token, the next ones are answered: a silent retry would show."""
    if call.number == 1:
        yield call.line("The")
        yield Drop()
    for line in call.whole():
        yield line


async def reset(call: Call) -> Steps:
    """The connection is reset (RST) in the middle of a line."""
    lines = call.say()
    for line in lines[:5]:
        yield line
    yield lines[5][:40]
    yield Drop(reset=True)


async def half_json(call: Call) -> Steps:
    """Half a line, then a clean end."""
    lines = call.say()
    for line in lines[:5]:
        yield line
    yield lines[5][:40]


async def no_newline(call: Call) -> Steps:
    """A whole answer whose last line has no newline."""
    for line in call.say():
        yield line
    yield call.done().rstrip()


async def no_reason(call: Call) -> Steps:
    """A last line with ``done: true`` and no ``done_reason``."""
    for line in call.say():
        yield line
    yield call.done("")


async def done_hang(call: Call) -> Steps:
    """A whole answer, then the connection stays open and silent."""
    for line in call.whole():
        yield line
    await for_ever()


async def done_extra(call: Call) -> Steps:
    """A whole answer, then more lines."""
    for line in call.whole():
        yield line
    yield call.line(" And more.")
    yield error_line_of("too late")


async def done_cut(call: Call) -> Steps:
    """A whole answer, then the connection closes without the last chunk."""
    for line in call.whole():
        yield line
    yield Drop()


async def done_content(call: Call) -> Steps:
    """One line, which has the content and ``done: true``."""
    line = call.done()
    yield line.replace(b'"content":""', b'"content":"All at once."').replace(
        b'"response":""', b'"response":"All at once."'
    )


async def length(call: Call) -> Steps:
    """Five tokens and ``done_reason: length``."""
    for line in call.say()[:5]:
        yield line
    yield call.done("length", answer_tokens=5)


async def prompt_cut(call: Call) -> Steps:
    """A whole answer to a prompt that was cut: ``prompt_eval_count`` is the context's length."""
    for line in call.say():
        yield line
    yield call.done(prompt_tokens=call.context_length)


async def empty(call: Call) -> Steps:
    """An answer without text, ``done_reason: stop``."""
    yield call.done(answer_tokens=1)


async def load_once(call: Call) -> Steps:
    """The first request only loads the model, the next ones are answered."""
    if call.number == 1:
        yield Head(200, JSON_TYPE)
        yield call.empty("load")
        return
    for line in call.whole():
        yield line


async def load_always(call: Call) -> Steps:
    """Every request only loads the model."""
    yield Head(200, JSON_TYPE)
    yield call.empty("load")


async def unload_always(call: Call) -> Steps:
    """Every request only unloads the model."""
    yield Head(200, JSON_TYPE)
    yield call.empty("unload")


async def silent(call: Call) -> Steps:
    """Sends nothing, not even headers, for ever."""
    await for_ever()
    yield b""


async def slow(call: Call) -> Steps:
    """Sends nothing, not even headers, for N seconds; then a whole answer."""
    await asyncio.sleep(call.argument)
    for line in call.whole():
        yield line


async def stall(call: Call) -> Steps:
    """N tokens, then nothing for ever."""
    for n in range(int(call.argument)):
        yield call.line(f" {n + 1}")
    await for_ever()
