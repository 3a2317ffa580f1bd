"""The line of statistics under an answer."""

from __future__ import annotations

from llmstream.events import Finished, Interrupted, Terminal


def stats_line(event: Terminal, model: str, *, cut: bool = False, continued: bool = False) -> str:
    """The line under an answer, in the form of the model's name: as text, or where that is escaped, in Markdown."""
    if not isinstance(event, Finished | Interrupted):
        return ""
    cut = cut or (isinstance(event, Finished) and event.prompt_truncated)
    timings, tokens = event.timings, event.usage.output_tokens
    parts = [
        "" if timings.time_to_first_token_s is None else f"{_seconds(timings.time_to_first_token_s)} to first token",
        "" if tokens is None else f"{tokens} token{'' if tokens == 1 else 's'}",
        # Of what no model counted, a function's text, it would be a speed of nothing.
        "" if timings.tokens_per_s is None or tokens is None else f"{_speed(timings.tokens_per_s)} tokens/s",
        model,
        "continued" if continued else "",
        "the conversation was cut to fit the model" if cut else "",
    ]
    return " · ".join(part for part in parts if part)


def _speed(per_s: float) -> str:
    return f"{per_s:,.1f}" if per_s < 100 else f"{per_s:,.0f}"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
