"""Scenarios of odd bytes, odd texts, endless answers, thinking and tools."""

from __future__ import annotations

from llmstream.demo_ollama.scenarios.scenario import Call, Head, Steps
from llmstream.demo_ollama.scripted_answers import Pause
from llmstream.ollama_server.backend import ToolCall
from llmstream.ollama_server.lines import go_json

NEWLINES = "a\nb\r\nc\rd\n\n\n e\u2028f\u2029g\x85h\x0bi\x0cj\x1ck\x1dl\x1em\n"
SEPARATORS = "next\x85line\u2028line\u2029paragraph"
MEGABYTE = "0123456789" * 100_000
_BURST = 64
_PARIS, _ROME = ToolCall("get_weather", {"city": "Paris"}), ToolCall("get_weather", {"city": "Rome"})
_HTML = b"<!DOCTYPE html><html><body><h1>%s</h1><script>alert(1)</script></body></html>\n"


def html_200(call: Call) -> Steps:
    """Status 200 and a page of HTML, as from a captive portal."""
    yield Head(200, "text/html; charset=utf-8")
    yield _HTML % b"Welcome"


def html_502(call: Call) -> Steps:
    """Status 502 and a page of HTML, as from a proxy."""
    yield Head(502, "text/html")
    yield _HTML % b"502 Bad Gateway"


def blank_line(call: Call) -> Steps:
    """A blank line between the third and the fourth token."""
    for n, line in enumerate(call.whole()):
        yield b"\n" + line if n == 3 else line


def null_line(call: Call) -> Steps:
    """The line `null` between the third and the fourth token."""
    for n, line in enumerate(call.whole()):
        yield b"null\n" + line if n == 3 else line


def no_message(call: Call) -> Steps:
    """A line without `message` (`response`) between the third and the fourth token."""
    for n, line in enumerate(call.whole()):
        yield go_json({**call.head(), "done": False}) + b"\n" + line if n == 3 else line


def separators(call: Call) -> Steps:
    """`SEPARATORS` with U+0085, U+2028 and U+2029 raw in the JSON; Ollama leaves only the first one so."""
    line = call.line(SEPARATORS)
    yield line.replace(rb"\u2028", "\u2028".encode()).replace(rb"\u2029", "\u2029".encode())
    yield call.done()


def bad_utf8(call: Call) -> Steps:
    """Bytes that are no UTF-8, in the text between `a` and `z`: a lone 0xFF and half an emoji."""
    yield call.line("a?b?z").replace(b"a?b?z", b"a\xffb\xf0\x9f\x98z")
    yield call.done()


def lone_surrogate(call: Call) -> Steps:
    r"""`a\ud83dz`: half a pair, escaped, with nothing to follow."""
    yield call.line("a?z").replace(b"a?z", rb"a\ud83dz")
    yield call.done()


def split_surrogate(call: Call) -> Steps:
    r"""An emoji as an escaped pair over two lines: `a\ud83d` and `\ude00z`."""
    yield call.line("a?").replace(b"a?", rb"a\ud83d")
    yield call.line("?z").replace(b"?z", rb"\ude00z")
    yield call.done()


def newlines(call: Call) -> Steps:
    r"""`NEWLINES`, a character a line: every kind of newline there is, `\r\n` split too."""
    for char in NEWLINES:
        yield call.line(char)
    yield call.done()


def megabyte(call: Call) -> Steps:
    """`MEGABYTE`, a million characters in one line."""
    yield call.line(MEGABYTE)
    yield call.done()


def single_bytes(call: Call) -> Steps:
    """A whole answer with an emoji, one byte a write."""
    for line in (*call.whole()[:-1], call.line(" 😀"), call.done()):
        for byte in line:
            yield bytes([byte])


def one_chunk(call: Call) -> Steps:
    """A whole answer in one write."""
    yield b"".join(call.whole())


def tokens(call: Call) -> Steps:
    """N tokens, ` 1`, ` 2` ..., at the server's pace; at full speed many a write."""
    count = int(call.argument)
    size = 1 if call.interval_s else _BURST
    for first in range(1, count + 1, size):
        yield Pause(call.interval_s)
        # One line encoded a write: a benchmark of a reader must not wait for this server.
        before, after = call.line(" ?").split(b"?")
        yield b"".join(b"%s%d%s" % (before, n, after) for n in range(first, min(first + size, count + 1)))
    yield call.done(answer_tokens=count + 1)


def repeat(call: Call) -> Steps:
    """` again` for ever at full speed."""
    burst = call.line(" again") * _BURST
    while True:
        yield burst


def endless(call: Call) -> Steps:
    """` 1`, ` 2` ... for ever, N tokens a second."""
    n = 0
    while True:
        n += 1
        yield call.line(f" {n}")
        yield Pause(1 / call.argument)


def thinking(call: Call) -> Steps:
    """A thought of three tokens, then a whole answer."""
    for token in ("Let", " me", " think."):
        yield call.line(thinking=token)
    yield from call.whole()


def thinking_only(call: Call) -> Steps:
    """A thought and no answer."""
    for token in ("Let", " me", " think."):
        yield call.line(thinking=token)
    yield call.done(answer_tokens=4)


def tool_call(call: Call) -> Steps:
    """One call of `get_weather`; after a `tool` message a whole answer."""
    if call.has_tool_result:
        yield from call.whole()
        return
    yield call.line(calls=[_PARIS])
    yield call.done()


def tool_calls_two(call: Call) -> Steps:
    """Two calls of `get_weather`, each in a line of its own."""
    yield call.line(calls=[_PARIS])
    yield call.line(calls=[_ROME])
    yield call.done()


def text_tool_call(call: Call) -> Steps:
    """A sentence, then a call of `get_weather`."""
    yield from call.say("I will check the weather in Paris.")
    yield call.line(calls=[_PARIS])
    yield call.done()
