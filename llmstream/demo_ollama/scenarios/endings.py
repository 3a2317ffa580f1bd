"""Scenarios of answers that end wrongly, early, late or never."""

from __future__ import annotations

from llmstream.demo_ollama.scenarios.scenario import FOR_EVER, JSON_TYPE, Call, Drop, Head, Steps, error_line_of
from llmstream.demo_ollama.scripted_answers import Pause


def no_done(call: Call) -> Steps:
    """The whole text, then a clean end without the last line."""
    yield from call.say()


def cut(call: Call) -> Steps:
    """The connection closes between two lines, as when the server is killed."""
    yield from call.say()[:5]
    yield Drop()


def cut_line(call: Call) -> Steps:
    """The connection closes in the middle of a line."""
    yield from call.half()
    yield Drop()


def cut_once(call: Call) -> Steps:
    """The first request is cut after one token, the next ones are answered: a silent retry would show."""
    if call.number == 1:
        yield call.line("The")
        yield Drop()
    yield from call.whole()


def reset(call: Call) -> Steps:
    """The connection is reset (RST) in the middle of a line."""
    yield from call.half()
    yield Drop(reset=True)


def half_json(call: Call) -> Steps:
    """Half a line, then a clean end."""
    yield from call.half()


def no_newline(call: Call) -> Steps:
    """A whole answer whose last line has no newline."""
    yield from call.say()
    yield call.done().rstrip()


def no_reason(call: Call) -> Steps:
    """A last line with `done: true` and no `done_reason`."""
    yield from call.say()
    yield call.done("")


def done_hang(call: Call) -> Steps:
    """A whole answer, then the connection stays open and silent."""
    yield from call.whole()
    yield FOR_EVER


def done_extra(call: Call) -> Steps:
    """A whole answer, then more lines."""
    yield from call.whole()
    yield call.line(" And more.")
    yield error_line_of("too late")


def done_cut(call: Call) -> Steps:
    """A whole answer, then the connection closes without the last chunk."""
    yield from call.whole()
    yield Drop()


def done_content(call: Call) -> Steps:
    """One line, which has the content and `done: true`."""
    line = call.done()
    yield line.replace(b'"content":""', b'"content":"All at once."').replace(
        b'"response":""', b'"response":"All at once."'
    )


def length(call: Call) -> Steps:
    """Five tokens and `done_reason: length`."""
    yield from call.say()[:5]
    yield call.done("length", answer_tokens=5)


def prompt_cut(call: Call) -> Steps:
    """A whole answer to a prompt that was cut: `prompt_eval_count` is the context's length."""
    yield from call.say()
    yield call.done(prompt_tokens=call.context_length)


def empty(call: Call) -> Steps:
    """An answer without text, `done_reason: stop`."""
    yield call.done(answer_tokens=1)


def load_once(call: Call) -> Steps:
    """The first request only loads the model, the next ones are answered."""
    if call.number == 1:
        yield Head(200, JSON_TYPE)
        yield call.empty("load")
        return
    yield from call.whole()


def load_always(call: Call) -> Steps:
    """Every request only loads the model."""
    yield Head(200, JSON_TYPE)
    yield call.empty("load")


def unload_always(call: Call) -> Steps:
    """Every request only unloads the model."""
    yield Head(200, JSON_TYPE)
    yield call.empty("unload")


def silent(call: Call) -> Steps:
    """Sends nothing, not even headers, for ever."""
    yield FOR_EVER


def slow(call: Call) -> Steps:
    """Sends nothing, not even headers, for N seconds; then a whole answer."""
    yield Pause(call.argument)
    yield from call.whole()


def stall(call: Call) -> Steps:
    """N tokens, then nothing for ever."""
    for n in range(int(call.argument)):
        yield call.line(f" {n + 1}")
    yield FOR_EVER
