"""What each dialect's encoder costs, tokens one at a time and many at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from benchmarks.report import table, target
from llmstream.dialects.agui.encoder import AguiEncoder
from llmstream.dialects.ai_sdk.encoder import AiSdkEncoder
from llmstream.dialects.anthropic.encoder import MessagesEncoder
from llmstream.dialects.langgraph.encoder import RunEncoder
from llmstream.dialects.native.encoder import NativeEncoder
from llmstream.dialects.native.plain import PlainEncoder
from llmstream.dialects.ollama.encoder import OllamaEncoder
from llmstream.dialects.openai.encoder import OpenAIEncoder
from llmstream.dialects.responses.encoder import ResponsesEncoder
from llmstream.events import Event, Started, Token

_BATCHES = (1, 64)
_RUN = "f" * 32
Encode = Callable[[int, Sequence[Event]], object]


def _ollama() -> Encode:
    encoder = OllamaEncoder()
    return lambda first, events: list(encoder.encode(events))


ENCODERS: Mapping[str, Callable[[], Encode]] = {
    "native": lambda: NativeEncoder(_RUN).encode,
    "plain": lambda: PlainEncoder(_RUN).encode,
    "AI SDK": lambda: AiSdkEncoder(_RUN).encode,
    "OpenAI": lambda: OpenAIEncoder(_RUN, model="demo").encode,
    "Responses": lambda: ResponsesEncoder(_RUN).encode,
    "Anthropic": lambda: MessagesEncoder(_RUN, model="demo").encode,
    "AG-UI": lambda: AguiEncoder(_RUN, thread_id="t", agent_run_id="r").encode,
    "LangGraph": lambda: RunEncoder(_RUN).encode,
    "Ollama, up to its lines": _ollama,
}


def encode_us(make: Callable[[], Encode], batch: int, tokens: int) -> float:
    """CPU of encoding with so many tokens at a time, in µs per token."""
    encode = make()
    encode(1, [Started("demo", 0)])
    events = [Token(" word")] * batch
    encode(2, events)  # what opens a message is written once, not per token
    begun = time.process_time()
    for first in range(2 + batch, 2 + batch + tokens, batch):
        encode(first, events)
    return (time.process_time() - begun) / tokens * 1e6


def run(*, quick: bool) -> None:
    """Best of several repeats."""
    repeats, tokens = (3, 64_000) if quick else (9, 256_000)
    best = {
        (name, batch): min(encode_us(make, batch, tokens) for _ in range(repeats))
        for name, make in ENCODERS.items()
        for batch in _BATCHES
    }
    head = ("encoder", *(f"{batch} at a time, µs per token" for batch in _BATCHES))
    table("Encoders", head, [(name, *(best[name, batch] for batch in _BATCHES)) for name in ENCODERS])
    for (name, batch), took_us in best.items():
        target(f"{name}, {batch} at a time", took_us, 1.5, "µs")


if __name__ == "__main__":
    run(quick=False)
