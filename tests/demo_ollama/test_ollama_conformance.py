"""One list of what Ollama answers, held against recordings, a real Ollama that runs here, and the demo."""

from __future__ import annotations

import http.client
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.ollama_server.lines import go_json
from tests.support import DATA

RECORDINGS = DATA / "recordings"
JSON = "application/json; charset=utf-8"
NDJSON = "application/x-ndjson"
SKY = "What color is the sky?"
SKY_ANSWER = "The sky is blue because air scatters blue light more than red light."
COUNT = ", ".join(str(n) for n in range(1, 21)) + "."
SUM, SUM_ANSWER = "What is 7 times 8?", "7 times 8 is 56."
WEATHER_QUESTION = "What is the weather in Paris?"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
COUNTS = ["total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"]
CHAT = ["model", "created_at", "message", "done"]
MESSAGE = ["role", "content"]
THOUGHT = ["role", "content", "thinking"]
CHAT_DONE = [*CHAT, "done_reason", *COUNTS]
GENERATE = ["model", "created_at", "response", "done"]
GENERATE_DONE = [*GENERATE, "done_reason", "context", *COUNTS]
HI = [{"role": "user", "content": "hi"}]
LONG = [{"role": "user", "content": "word " * 3000}]


@dataclass
class Answer:
    """An answer as it came: ``chunked`` says whether it came without its length."""

    status: int
    content_type: str
    chunked: bool
    body: bytes

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The JSON of each line."""
        return [json.loads(line) for line in self.body.splitlines()]


@dataclass
class Target:
    """An Ollama to ask, or recordings; ``names`` are its models that think, that can do nothing, that call tools."""

    names: dict[str, str]
    ask: Callable[[Case], Answer]


@dataclass
class Case:
    """A request, with ``{chat}``, ``{plain}`` and ``{tool}`` for the models; ``recording`` if it was recorded."""

    body: dict[str, Any] | bytes | None
    path: str = "/api/chat"
    method: str = "POST"
    recording: str = ""
    expect: dict[str, Any] = field(default_factory=dict)


def chat(question: str, *, model: str = "{chat}", expect: dict[str, Any], recording: str = "", **fields: Any) -> Case:
    """A question at temperature 0, without thinking unless the fields say so."""
    options = {"temperature": 0, **fields.pop("options", {})}
    messages = [{"role": "user", "content": question}]
    think = {"think": False} if "think" not in fields and model != "{plain}" else {}
    body = {"model": model, "messages": messages, "options": options, **think, **fields}
    return Case({name: value for name, value in body.items() if value is not ...}, recording=recording, expect=expect)


def refused(status: int, error: str, *, recording: str = "", path: str = "/api/chat", **body: Any) -> Case:
    """A request that is refused with a status and a text."""
    return Case(body, path=path, recording=recording, expect={"status": status, "error": error})


def broken(data: bytes, error: str, *, recording: str = "") -> Case:
    """A body that is refused with 400."""
    return Case(data, recording=recording, expect={"status": 400, "error": error})


def option(name: str, value: Any, error: str, *, recording: str = "") -> Case:
    """An option of the wrong type."""
    return refused(500, error, recording=recording, model="{chat}", messages=HI, options={name: value})


ANSWERS = {
    "chat": chat(SKY, recording="chat", expect={"text": SKY_ANSWER, "keys": [CHAT, MESSAGE, CHAT_DONE]}),
    "plain": chat(SKY, model="{plain}", expect={"text": SKY_ANSWER, "keys": [CHAT, MESSAGE, CHAT_DONE]}),
    "unknown-option": chat(SKY, options={"zzz": 1}, expect={"text": SKY_ANSWER, "keys": [CHAT, MESSAGE, CHAT_DONE]}),
    "stop": chat(
        "Count to 20.", options={"stop": ["4"]}, expect={"text": "1, 2, 3, ", "keys": [CHAT, MESSAGE, CHAT_DONE]}
    ),
    "stop-over-tokens": chat(
        "Count to 20.", options={"stop": ["2, 3"]}, expect={"text": "1, ", "keys": [CHAT, MESSAGE, CHAT_DONE]}
    ),
    "no-limit": chat(
        "Count to 20.", options={"num_predict": -1}, expect={"text": COUNT, "keys": [CHAT, MESSAGE, CHAT_DONE]}
    ),
    "length": chat(
        "Count to 20.",
        recording="chat-length",
        options={"num_predict": 5},
        expect={"reason": "length", "eval_count": 5, "keys": [CHAT, MESSAGE, CHAT_DONE]},
    ),
    "thinking": chat(
        SUM,
        recording="thinking",
        think=True,
        expect={"text": SUM_ANSWER, "thinks": True, "keys": [CHAT, THOUGHT, CHAT_DONE]},
    ),
    "thinking-unset": chat(
        SUM,
        recording="thinking-unset",
        think=...,
        expect={"text": SUM_ANSWER, "thinks": True, "keys": [CHAT, THOUGHT, CHAT_DONE]},
    ),
    "thinking-level": chat(
        SUM, think="high", expect={"text": SUM_ANSWER, "thinks": True, "keys": [CHAT, THOUGHT, CHAT_DONE]}
    ),
    "tool-call": chat(
        WEATHER_QUESTION,
        recording="tool-call",
        model="{tool}",
        tools=[TOOL],
        expect={"text": "", "keys": [CHAT, [*MESSAGE, "tool_calls"], CHAT_DONE]},
    ),
    "prompt-cut": Case(
        {
            "model": "{chat}",
            "messages": LONG,
            "think": False,
            "options": {"num_predict": 2, "num_ctx": 256, "temperature": 0},
        },
        recording="prompt-cut",
        expect={"reason": "length", "prompt_eval_count": 256, "keys": [CHAT, MESSAGE, CHAT_DONE]},
    ),
    "generate": Case(
        {"model": "{chat}", "prompt": SKY, "think": False, "options": {"temperature": 0}},
        path="/api/generate",
        recording="generate",
        expect={"text": SKY_ANSWER, "keys": [GENERATE, None, GENERATE_DONE]},
    ),
    "generate-raw": Case(
        {
            "model": "{chat}",
            "prompt": SKY,
            "think": False,
            "raw": True,
            "options": {"temperature": 0, "num_predict": 2},
        },
        path="/api/generate",
        expect={"reason": "length", "eval_count": 2, "keys": [GENERATE, None, [*GENERATE, "done_reason", *COUNTS]]},
    ),
}
BODIES = {
    "chat": chat(
        SKY, recording="chat-not-streamed", stream=False, expect={"text": SKY_ANSWER, "keys": [CHAT_DONE, MESSAGE]}
    ),
    "thinking": chat(
        SUM,
        recording="thinking-not-streamed",
        think=True,
        stream=False,
        expect={"text": SUM_ANSWER, "thinks": True, "keys": [CHAT_DONE, THOUGHT]},
    ),
    "generate": Case(
        {"model": "{chat}", "prompt": SUM, "stream": False, "options": {"temperature": 0}},
        path="/api/generate",
        expect={
            "text": SUM_ANSWER,
            "thinks": True,
            "keys": [
                [*GENERATE[:3], "thinking", "done", "done_reason", "context", *COUNTS],
                None,
            ],
        },
    ),
}
EMPTY = {
    "load": Case({"model": "{chat}", "messages": []}, recording="load", expect={"reason": "load"}),
    "unload": Case(
        {"model": "{chat}", "messages": [], "keep_alive": 0}, recording="unload", expect={"reason": "unload"}
    ),
    "null-messages": Case({"model": "{chat}", "messages": None}, expect={"reason": "load"}),
    "generate-load": Case({"model": "{chat}"}, path="/api/generate", expect={"reason": "load"}),
    "generate-unload": Case({"model": "{chat}", "keep_alive": "0"}, path="/api/generate", expect={"reason": "unload"}),
}
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
TARGETS = ("recorded", "real", "demo")


def cases(table: dict[str, Case]) -> pytest.MarkDecorator:
    """Every case of the table on every target that has an answer to it."""
    rows = [
        pytest.param(target, case, id=f"{name}-{target}")
        for name, case in table.items()
        for target in TARGETS
        if target != "recorded" or case.recording
    ]
    return pytest.mark.parametrize(("target", "case"), rows, indirect=["target"])


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Target:
    """A recorded, a real or a demo Ollama."""
    if request.param == "recorded":
        return Target(
            {"chat": "tiny-chat", "plain": "tiny-plain", "tool": "tiny-chat"},
            lambda case: read_recording(case.recording),
        )
    if request.param == "real":
        url = request.getfixturevalue("real_ollama").url
        return live({"chat": "tiny-chat", "plain": "tiny-plain", "tool": "tiny-chat"}, url)
    url = request.getfixturevalue("scripted_demo").url
    return live({"chat": "demo-thinking", "plain": "demo", "tool": "demo:tool-call"}, url)


@pytest.fixture(scope="module")
def scripted_demo() -> Iterator[DemoOllama]:
    """A demo Ollama that knows what tiny-chat knows."""
    with DemoOllama(tokens_per_s=None, scenarios=True) as server:
        server.answers.update({SKY: SKY_ANSWER, "Count to 20.": COUNT, SUM: SUM_ANSWER, "hi": "Hello there, hello."})
        yield server


def live(names: dict[str, str], url: str) -> Target:
    """A server to ask over HTTP."""

    def ask(case: Case) -> Answer:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        connection.request(case.method, case.path, filled(case.body, names))
        with connection.getresponse() as response:
            answer = to_answer(response)
        connection.close()
        return answer

    return Target(names, ask)


def filled(value: Any, names: dict[str, str]) -> bytes | None:
    """The body of a request with the names of the models in it."""
    if value is None or isinstance(value, bytes):
        return value
    text = json.dumps(value)
    for kind, name in names.items():
        text = text.replace(f"{{{kind}}}", name)
    return text.encode()


def read_recording(name: str) -> Answer:
    """A recorded answer, read as HTTP."""
    return to_answer(read_http((RECORDINGS / f"{name}.http").read_bytes()))


def read_http(data: bytes) -> http.client.HTTPResponse:
    """An HTTP answer from its bytes."""

    class Bytes:
        def makefile(self, *_: Any) -> io.BytesIO:
            return io.BytesIO(data)

    response = http.client.HTTPResponse(Bytes())  # type: ignore[arg-type]
    response.begin()
    return response


def to_answer(response: http.client.HTTPResponse) -> Answer:
    """What an HTTP answer says, read to its end."""
    content_type = response.headers["content-type"]
    chunked = response.headers["transfer-encoding"] == "chunked"
    return Answer(response.status, content_type, chunked, response.read())


def text_of(lines: list[dict[str, Any]], key: str) -> str:
    """The joined text of the lines, ``content`` or ``thinking``."""
    other = {"content": "response"}.get(key, key)
    return "".join(line["message"].get(key, "") if "message" in line else line.get(other, "") for line in lines)


def check_done(line: dict[str, Any], expect: dict[str, Any]) -> None:
    """The last line: how it ended, and counts and durations that are there and positive."""
    assert expect.get("reason", "stop") == line["done_reason"]
    assert all(isinstance(line[name], int) and line[name] > 0 for name in COUNTS)
    for name in ("eval_count", "prompt_eval_count"):
        assert expect.get(name, line[name]) == line[name]


@cases(ANSWERS)
def test_streamed_answer(target: Target, case: Case) -> None:
    """An answer is chunked NDJSON: lines of the same keys, and one last line with the end, the counts and no text."""
    answer = target.ask(case)
    keys, message_keys, done_keys = case.expect["keys"]
    *lines, last = answer.lines

    assert (200, NDJSON, True) == (answer.status, answer.content_type, answer.chunked)
    assert answer.body.endswith(b"}\n")
    assert keys == list(lines[0])
    assert message_keys == (list(lines[0]["message"]) if "message" in lines[0] else None)
    assert done_keys == list(last)
    assert [False] * len(lines) + [True] == [line["done"] for line in (*lines, last)]
    assert "" == text_of([last], "content")
    check_done(last, case.expect)
    assert case.expect.get("text", text_of(lines, "content")) == text_of(lines, "content")
    assert case.expect.get("thinks", False) == bool(text_of(lines, "thinking"))


@cases(BODIES)
def test_whole_answer(target: Target, case: Case) -> None:
    """With ``stream: false`` one JSON body with its length has everything."""
    answer = target.ask(case)
    [body] = answer.lines
    keys, message_keys = case.expect["keys"]

    assert (200, JSON, False) == (answer.status, answer.content_type, answer.chunked)
    assert keys == list(body)
    assert message_keys == (list(body["message"]) if "message" in body else None)
    check_done(body, case.expect)
    assert case.expect["text"] == text_of([body], "content")
    assert case.expect.get("thinks", False) == bool(text_of([body], "thinking"))


@cases(EMPTY)
def test_load_and_unload(target: Target, case: Case) -> None:
    """A request without a question loads or unloads the model, and is answered by one JSON body."""
    answer = target.ask(case)
    [body] = answer.lines

    assert (200, JSON, False) == (answer.status, answer.content_type, answer.chunked)
    assert not answer.body.endswith(b"\n")
    assert [*(CHAT if case.path == "/api/chat" else GENERATE), "done_reason"] == list(body)
    assert case.expect["reason"] == body["done_reason"]
    assert "" == text_of([body], "content")


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


@cases({"root": Case(None, method="GET", path="/", recording="root")})
def test_root(target: Target, case: Case) -> None:
    """The root says that Ollama is running."""
    answer = target.ask(case)

    assert (200, "text/plain; charset=utf-8", b"Ollama is running") == (answer.status, answer.content_type, answer.body)


@cases({"root": Case(None, method="HEAD", path="/"), "version": Case(None, method="HEAD", path="/api/version")})
def test_head(target: Target, case: Case) -> None:
    """HEAD is answered like GET, without a body."""
    answer = target.ask(case)

    assert (200, b"") == (answer.status, answer.body)


@cases({"version": Case(None, method="GET", path="/api/version", recording="version")})
def test_version(target: Target, case: Case) -> None:
    """The version is a number of three parts, or more behind them."""
    [body] = target.ask(case).lines

    assert ["version"] == list(body)
    assert all(part.isdigit() for part in body["version"].partition("-")[0].split("."))


@cases({"tags": Case(None, method="GET", path="/api/tags", recording="tags")})
def test_tags(target: Target, case: Case) -> None:
    """The list of models has their full names, sizes, digests and details."""
    [body] = target.ask(case).lines
    details = ["parent_model", "format", "family", "families", "parameter_size", "quantization_level"]

    assert {f"{target.names[kind]}:latest" for kind in ("chat", "plain")} == {model["name"] for model in body["models"]}
    for model in body["models"]:
        assert ["name", "model", "modified_at", "size", "digest", "details"] == list(model)
        assert details == list(model["details"])
        assert 64 == len(model["digest"])


@cases({"show": Case({"model": "{chat}"}, path="/api/show", recording="show")})
def test_show(target: Target, case: Case) -> None:
    """A model shows what it can do and how long its context is."""
    [body] = target.ask(case).lines
    keys = ["modelfile", "parameters", "template", "details", "model_info", "tensors", "capabilities", "modified_at"]
    family = body["model_info"]["general.architecture"]

    assert keys == list(body)
    assert {"completion", "thinking"} <= set(body["capabilities"])
    assert body["model_info"][f"{family}.context_length"] > 0


@cases({"ps": Case(None, method="GET", path="/api/ps", recording="ps")})
def test_ps(target: Target, case: Case) -> None:
    """The list of loaded models says until when and with which context."""
    target.ask(Case({"model": "{chat}", "messages": []}, recording="load"))
    models = target.ask(case).lines[0]["models"]
    keys = ["name", "model", "size", "digest", "details", "expires_at", "size_vram", "context_length"]

    assert keys == list(models[0])
    assert f"{target.names['chat']}:latest" in [model["name"] for model in models]


@cases({"pull": Case({"model": "127.0.0.1:1/x/nope", "insecure": True}, path="/api/pull")})
def test_pull_fails_inside_a_stream(target: Target, case: Case) -> None:
    """A pull that fails says so in an error line, with status 200."""
    answer = target.ask(case)
    first, last = answer.lines

    assert (200, NDJSON, True) == (answer.status, answer.content_type, answer.chunked)
    assert {"status": "pulling manifest"} == first
    assert ["error"] == list(last)
    assert last["error"].startswith("pull model manifest: ")


@cases({"not-found": Case(None, method="GET", path="/nope"), "not-allowed": Case(None, method="GET", path="/api/chat")})
def test_no_route(target: Target, case: Case) -> None:
    """Paths and methods that don't exist are refused in plain text."""
    answer = target.ask(case)
    expected = {"/nope": (404, b"404 page not found"), "/api/chat": (405, b"405 method not allowed")}[case.path]

    assert (*expected, "text/plain") == (answer.status, answer.body, answer.content_type)


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in RECORDINGS.glob("*.http") if path.stem not in ("root", "show"))
)
def test_lines_are_encoded_as_ollama_encodes_them(name: str) -> None:
    """Every recorded line, decoded and encoded again, gives the same bytes."""
    body = read_recording(name).body

    assert body.splitlines(keepends=True) == [
        go_json(json.loads(line)) + line[len(line.rstrip(b"\n")) :] for line in body.splitlines(keepends=True)
    ]


def test_escapes_of_go() -> None:
    """HTML's signs and the two line separators are escaped, U+0085 stays, a lone surrogate becomes U+FFFD."""
    assert b'"\\u003ca\\u003e\\u0026\\u2028\\u2029\xc2\x85\xef\xbf\xbd\xf0\x9f\x98\x80"' == go_json(
        "<a>&\u2028\u2029\x85\ud83d\ud83d\ude00"
    )
