"""Cases that a real Ollama and the demo must answer alike."""

from __future__ import annotations

import http.client
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support import DATA

RECORDINGS = DATA / "recordings"
NDJSON = "application/x-ndjson"
SKY = "What color is the sky?"
SKY_ANSWER = "The sky is blue because air scatters blue light more than red light."
COUNT = ", ".join(str(n) for n in range(1, 21)) + "."


SUM, SUM_ANSWER = "What is 7 times 8?", "7 times 8 is 56."


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
