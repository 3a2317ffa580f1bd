"""The bytes of OpenAI's Responses: golden transcripts, whatever a client had last, and what the schema demands."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from llmstream.dialects.responses.encoder import ResponsesEncoder
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.golden import begun, forever, golden
from tests.support.responses import ENDED, SCENARIOS, WEATHER, check_stream, events_of, send
from tests.support.serving import Serve, Served, get, post


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_transcript(served: Served, scenario: str) -> None:
    """The bytes are those of the golden transcript, in the order that is promised."""
    body = send(served, stream=True, **SCENARIOS[scenario]).content
    golden(f"responses_{scenario}", body)
    check_stream(events_of(body))


def test_transcript_of_a_stopped_answer(serve: Serve, settings: Settings) -> None:
    """A response that was stopped has failed to those who read its stream, and is told as cancelled."""
    served = serve(create_app(settings, chain=forever))
    body = {"model": "chain", "input": "Why?", "stream": True}
    with begun(served, "/v1/responses", body) as (response, pieces, came):
        response_id = f"resp_{response.headers['x-run-id']}"
        cancelled = post(f"{served.url}/v1/responses/{response_id}/cancel", json={}).json()
        came += b"".join(pieces)
    golden("responses_stopped", came)
    assert ("cancelled", "cancelled") == (cancelled["status"], check_stream(events_of(came))["status"])


@pytest.mark.parametrize("run", ENDED)
@pytest.mark.parametrize("batch", [1, 100])
def test_resumed_after_every_event(run: str, batch: int) -> None:
    """Whatever a client had last, and however events come together, it gets exactly the rest."""
    whole = ResponsesEncoder("0" * 32).encode(1, ENDED[run])
    check_stream(events_of(whole))
    frames = whole.decode().split("\n\n")[:-1]
    for after in range(-1, len(frames)):
        encoder, rest = ResponsesEncoder("0" * 32, after=after), b""
        for first in range(0, len(ENDED[run]), batch):
            rest += encoder.encode(first + 1, ENDED[run][first : first + batch])
        assert frames[after + 1 :] == rest.decode().split("\n\n")[:-1]


def test_cut_at_every_byte(served: Served) -> None:
    """A background response that is cut anywhere and resumed from the last whole event loses and doubles nothing."""
    whole_body = send(served, stream=True, background=True, **SCENARIOS["tool_call"]).content
    events = events_of(whole_body)
    address = f"{served.url}/v1/responses/{events[0]['response']['id']}?stream=true"
    rest = {after: events_of(get(f"{address}&starting_after={after}").content) for after in range(len(events))}
    for cut in range(len(whole_body)):
        had = events_of(whole_body[:cut])
        assert not had or events == had + rest[had[-1]["sequence_number"]]
    assert events == events_of(get(address).content)


def test_position_that_never_was(served: Served, client: openai.OpenAI) -> None:
    """Who asks for what comes after an event that there is not is told so, instead of an end."""
    made = client.responses.create(model="demo", input="Why?")
    with pytest.raises(openai.APIError, match="can't be continued"):
        list(client.responses.retrieve(made.id, stream=True, starting_after=9999))


COMPLIANCE: dict[str, dict[str, Any]] = {
    "basic": {"input": [{"type": "message", "role": "user", "content": "Greet me."}]},
    "streaming": {"stream": True, "input": [{"type": "message", "role": "user", "content": "Count to three."}]},
    "system": {
        "input": [
            {"type": "message", "role": "system", "content": "Talk like a sailor."},
            {"type": "message", "role": "user", "content": "Greet me."},
        ]
    },
    "call": {"model": "demo:tool-call", "tools": [WEATHER], "input": [{"role": "user", "content": "Rain in Paris?"}]},
    "streamed call": {"model": "demo:tool-call", "tools": [WEATHER], "stream": True, "input": "Rain in Paris?"},
    "turns": {
        "input": [
            {"type": "message", "role": "user", "content": "I am Bo."},
            {"type": "message", "role": "assistant", "content": "Hello, Bo."},
            {"type": "message", "role": "user", "content": "Who am I?"},
        ]
    },
}

REQUIRED = {
    "id", "object", "created_at", "completed_at", "status", "incomplete_details", "model", "previous_response_id",
    "instructions", "output", "error", "tools", "tool_choice", "truncation", "parallel_tool_calls", "text", "top_p",
    "presence_penalty", "frequency_penalty", "top_logprobs", "temperature", "reasoning", "user", "usage",
    "max_output_tokens", "max_tool_calls", "store", "background", "service_tier", "metadata", "safety_identifier",
    "prompt_cache_key",
}  # fmt: skip


@pytest.mark.parametrize("case", COMPLIANCE)
def test_compliance(served: Served, case: str) -> None:
    """The cases of Open Responses: complete, with every field that its schema demands."""
    answer = send(served, **COMPLIANCE[case])
    assert 200 == answer.status_code, answer.text
    response = check_stream(events_of(answer.content)) if COMPLIANCE[case].get("stream") else answer.json()
    assert set() == REQUIRED - set(response)
    assert ("completed", "response") == (response["status"], response["object"])
    kinds = [item["type"] for item in response["output"]]
    assert ("function_call" if "tools" in COMPLIANCE[case] else "message") in kinds
