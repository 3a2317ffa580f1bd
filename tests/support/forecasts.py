"""Prompts, and answers from which their time is learned."""

from __future__ import annotations

from typing import Any

from llmstream.ollama.chunks import LastChunk
from llmstream.ollama.forecast import Forecasts, Prompt, prompt_of

URL, MODEL = "http://gpu:11434", "m"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def said(*texts: str) -> dict[str, Any]:
    """A request with these messages, of a person and a model in turns."""
    roles = ("user", "assistant")
    return {"model": MODEL, "messages": [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]}


def prompt(*texts: str) -> Prompt:
    """The prompt of such a request."""
    found = prompt_of(said(*texts))
    assert found is not None
    return found


def counted(tokens: int, read_s: float, load_s: float = 0.01) -> LastChunk:
    """The last line of an answer with these counters."""
    return LastChunk(
        done=True,
        done_reason="stop",
        prompt_eval_count=tokens,
        prompt_eval_duration=read_s * 1e9,
        load_duration=load_s * 1e9,
    )


def learned(clock: Clock, *sizes: int) -> Forecasts:
    """What is known after answers to prompts of these sizes, of a model with 4 bytes and 10 ms a token."""
    forecasts = Forecasts(clock=clock)
    for number, size in enumerate(sizes):
        forecasts.learn(URL, MODEL, prompt(f"{number}" * size), counted(size // 4, size / 400))
    return forecasts
