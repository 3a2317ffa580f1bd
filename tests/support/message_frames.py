"""The encoders of all dialects, and their frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from llmstream.dialects.agui.encoder import AguiEncoder
from llmstream.dialects.ai_sdk.encoder import AiSdkEncoder
from llmstream.dialects.anthropic.encoder import MessagesEncoder
from llmstream.dialects.native.encoder import NativeEncoder
from llmstream.dialects.native.plain import PlainEncoder
from llmstream.dialects.openai.encoder import OpenAIEncoder
from llmstream.dialects.responses.encoder import ResponsesEncoder
from llmstream.events import Event
from llmstream.http.encoder import OPEN, Encoder
from tests.support.serving import messages

RUN = "0" * 32
ASKED = [{"id": "u1", "role": "user", "content": "Why?"}]

ENCODERS: dict[str, Callable[[], Encoder]] = {
    "native": lambda: NativeEncoder(RUN),
    "plain": lambda: PlainEncoder(RUN),
    "openai": lambda: OpenAIEncoder(RUN, model="graph", include_usage=True),
    "anthropic": lambda: MessagesEncoder(RUN, model="graph"),
    "responses": lambda: ResponsesEncoder(RUN),
    "ai_sdk": lambda: AiSdkEncoder(RUN),
    "agui": lambda: AguiEncoder(RUN, thread_id="t-1", agent_run_id="r-1", asked=ASKED),
}


def encoded(dialect: str, events: Sequence[Event]) -> bytes:
    """The run in a dialect, event by event, as a client receives it."""
    encoder = ENCODERS[dialect]()
    return OPEN + b"".join(encoder.encode(number, [event]) for number, event in enumerate(events, 1))


def frames(dialect: str, events: Sequence[Event]) -> list[dict[str, object]]:
    """The JSON of the run's frames."""
    return [json.loads(each.data) for each in messages(encoded(dialect, events)) if each.data != "[DONE]"]
