"""The demo Ollama answers like a real one: models, versions, routes."""

from __future__ import annotations

import json

import pytest

from llmstream.ollama_server.lines import go_json
from tests.support.ollama_targets import NDJSON, RECORDINGS, Case, Target, cases, read_recording


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
