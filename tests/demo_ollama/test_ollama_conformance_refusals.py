"""What Ollama refuses, and how: held against recordings, a real Ollama that runs here, and the demo."""

from __future__ import annotations

import json
from typing import Any

from tests.support.conformance_questions import JSON, LONG, TOOL
from tests.support.ollama_targets import Case, Target, cases

HI = [{"role": "user", "content": "hi"}]


def refused(status: int, error: str, *, recording: str = "", path: str = "/api/chat", **body: Any) -> Case:
    """A request that is refused with a status and a text."""
    return Case(body, path=path, recording=recording, expect={"status": status, "error": error})


def broken(data: bytes, error: str, *, recording: str = "") -> Case:
    """A body that is refused with 400."""
    return Case(data, recording=recording, expect={"status": 400, "error": error})


def option(name: str, value: Any, error: str, *, recording: str = "") -> Case:
    """An option of the wrong type."""
    return refused(500, error, recording=recording, model="{chat}", messages=HI, options={name: value})


THINK_RULE = '"high", "medium", "low", "max", true, or false)'

ERRORS = {
    "no-such-model": refused(404, "model 'nope' not found", recording="error-no-such-model", model="nope", messages=HI),
    "no-such-tag": refused(404, "model '{chat}:other' not found", model="{chat}:other", messages=HI),
    "bad-name": refused(400, "invalid model name", model="a b", messages=HI),
    "no-model": refused(400, "model is required", recording="error-no-model", messages=HI),
    "empty-model": refused(400, "model is required", model="", messages=HI),
    "no-thinking": refused(
        400,
        '"{plain}" does not support thinking',
        recording="error-no-thinking",
        model="{plain}",
        messages=HI,
        think=True,
    ),
    "no-thinking-level": refused(400, '"{plain}" does not support thinking', model="{plain}", messages=HI, think="low"),
    "no-tools": refused(
        400,
        "registry.ollama.ai/library/{plain}:latest does not support tools",
        recording="error-no-tools",
        model="{plain}",
        messages=HI,
        tools=[TOOL],
    ),
    "no-insert": refused(
        400,
        "registry.ollama.ai/library/{plain}:latest does not support insert",
        path="/api/generate",
        model="{plain}",
        prompt="a",
        suffix="b",
    ),
    "think-word": refused(
        400, f'invalid think value: "hot" (must be {THINK_RULE}', model="{chat}", messages=HI, think="hot"
    ),
    "think-number": refused(
        400, f"think must be a boolean or string ({THINK_RULE}", model="{chat}", messages=HI, think=5
    ),
    "float": option(
        "temperature", "hot", 'option "temperature" must be of type float32', recording="error-option-type"
    ),
    "integer": option("num_predict", "x", 'option "num_predict" must be of type integer'),
    "boolean": option("use_mmap", 1, 'option "use_mmap" must be of type boolean'),
    "array": option("stop", "x", 'option "stop" must be of type array'),
    "strings": option("stop", [1], 'option "stop" must be of an array of strings'),
    "logprobs": refused(400, "top_logprobs must be between 0 and 20", model="{chat}", messages=HI, top_logprobs=21),
    "keep-alive": refused(400, 'time: invalid duration "x"', model="{chat}", messages=HI, keep_alive="x"),
    "keep-alive-type": refused(400, "Unsupported type: 'bool'", model="{chat}", messages=HI, keep_alive=True),
    "no-body": broken(b"", "missing request body"),
    "half-json": broken(b'{"model":', "unexpected EOF", recording="error-half-json"),
    "half-string": broken(b'{"model":"ti', "unexpected EOF"),
    "no-json": broken(b"zzz", "invalid character 'z' looking for beginning of value"),
    "array-body": broken(b"[]", "json: cannot unmarshal array into Go value of type api.ChatRequest"),
    "null-body": broken(b"null", "model is required"),
    "model-type": broken(
        b'{"model":5}', "json: cannot unmarshal number into Go struct field ChatRequest.model of type string"
    ),
    "messages-type": broken(
        b'{"model":"x","messages":"y"}',
        "json: cannot unmarshal string into Go struct field ChatRequest.messages of type []api.Message",
    ),
    "content-type": broken(
        b'{"messages":[{"role":"user","content":5}]}',
        "json: cannot unmarshal number into Go struct field ChatRequest.messages.content of type string",
    ),
    "options-type": broken(
        b'{"options":5}',
        "json: cannot unmarshal number into Go struct field ChatRequest.options of type map[string]interface {}",
    ),
    "stream-type": broken(
        b'{"stream":"x"}', "json: cannot unmarshal string into Go struct field ChatRequest.stream of type bool"
    ),
    "generate-no-such-model": refused(404, "model 'nope' not found", path="/api/generate", model="nope", prompt="hi"),
    "generate-no-model": refused(404, "model '' not found", path="/api/generate"),
    "show-no-such-model": refused(
        404, "model 'nope' not found", path="/api/show", recording="show-no-such-model", model="nope"
    ),
    "show-no-model": refused(400, "model is required", path="/api/show"),
    "pull-no-model": refused(400, "invalid model name", path="/api/pull"),
}


@cases(ERRORS)
def test_refusal(target: Target, case: Case) -> None:
    """What can't be done is refused before anything is sent, with Ollama's status and text."""
    answer = target.ask(case)
    error = case.expect["error"]
    for kind, name in target.names.items():
        error = error.replace(f"{{{kind}}}", name)

    assert (case.expect["status"], JSON, False) == (answer.status, answer.content_type, answer.chunked)
    assert {"error": error} == json.loads(answer.body)


@cases(
    {
        "too-long": Case(
            {"model": "{chat}", "messages": LONG, "think": False, "truncate": False, "options": {"num_ctx": 256}},
            recording="prompt-too-long",
        )
    }
)
def test_prompt_too_long(target: Target, case: Case) -> None:
    """With ``truncate: false`` a prompt beyond the context is refused, in a chunked body."""
    answer = target.ask(case)

    assert (400, "application/json", True) == (answer.status, answer.content_type, answer.chunked)
    assert b'{"error":"the input length exceeds the context length"}' == answer.body
