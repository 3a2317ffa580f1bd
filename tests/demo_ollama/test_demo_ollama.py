"""The demo Ollama: its answers, its scenarios, its server, and the clients people use with it."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import ollama
import pytest
from langchain_ollama import ChatOllama, OllamaLLM

from llmstream.demo_ollama import DemoOllama, Model
from llmstream.demo_ollama.answers import EXCUSE, tokens
from llmstream.demo_ollama.index import PassageIndex
from llmstream.demo_ollama.passages import read_passages, split_markdown
from llmstream.demo_ollama.scenarios import NEWLINES, SENTENCE, SEPARATORS
from llmstream.ollama_server.backend import OllamaError
from llmstream.ollama_server.checks import full_name
from tests.support import ROOT
from tests.support.demo_calls import README, asked, body_of, chat, text


def ask(server: DemoOllama, question: str, model: str = "demo") -> str:
    """The text of the answer to a question."""
    return text(chat(server, model, question)[1])


def test_documentation_answers_with_the_passage_and_its_code(server: DemoOllama) -> None:
    """A question about the library gets the passage that answers it, code block and all."""
    answer = ask(server, "How do I mount llmstream in my FastAPI app?")

    assert answer.startswith("Mount the router in an app of your own:\n\n```python\nfrom fastapi import FastAPI\n")
    assert '# not a heading\napp.include_router(create_router(), prefix="/llm")\n```' in answer
    assert "README.md" in answer.splitlines()[-1]


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("What is create_router?", "include_router"),
        ("token timeout seconds", "60 by default"),
        ("Gradio?", "create_chat"),
    ],
)
def test_documentation_is_found_by_other_words(server: DemoOllama, question: str, word: str) -> None:
    """Names of functions, a few keywords or one heading are enough."""
    assert word in ask(server, question)


@pytest.mark.parametrize(
    "question",
    [
        SENTENCE,
        "What is 7 times 8?",
        "Count to 20.",
        "Tell me a story about a dragon.",
        "What is the capital of France?",
        "?",
        '" OR * NEAR(',
        "\x00\ud83d'\"",
        "",
        "日本語で挨拶して",
    ],
)
def test_other_questions_get_an_honest_word(server: DemoOllama, question: str) -> None:
    """What the documentation doesn't answer is answered by what the demo is and how to get an Ollama."""
    assert EXCUSE == ask(server, question)
    assert "ollama serve" in EXCUSE
    assert "ollama pull" in EXCUSE


def test_no_documentation_is_no_failure(tmp_path: Path) -> None:
    """With no page, or one that can't be read, the demo still answers."""
    with DemoOllama(tokens_per_s=None, docs=[tmp_path / "missing.md"]) as server:
        assert EXCUSE == ask(server, "How do I mount llmstream in my FastAPI app?")


def test_code_blocks_stay_whole_and_keep_their_sentence(readme: Path) -> None:
    """A hash in code is no heading, and the code stays with the sentence that announces it."""
    passages = read_passages([readme])

    assert ["llmstream", "Quick start", "FastAPI", "Gradio", "Timeouts"] == [passage.heading for passage in passages]
    assert all(passage.text.count("```") % 2 == 0 for passage in passages)
    assert "llmstream Surfaces" == passages[2].parents


def test_long_sections_are_split_between_paragraphs() -> None:
    """A long section becomes several passages, and no text is lost."""
    paragraphs = [f"{n}" + " word" * 100 for n in range(20)]
    passages = split_markdown("# Long\n\n" + "\n\n".join(paragraphs), "long.md")

    assert len(passages) > 3
    assert "\n\n".join(paragraphs) == "\n\n".join(passage.text for passage in passages)


def test_index_without_passages_finds_nothing() -> None:
    """An empty index is allowed."""
    with closing(PassageIndex([])) as index:
        assert index.find("FastAPI") is None


@pytest.mark.parametrize(
    "whole", [SENTENCE, README, NEWLINES, SEPARATORS, " a  b\t\tc ", "👩‍👩‍👧 e\u0301", "\ud83d", ""]
)
def test_tokens_are_the_text(whole: str) -> None:
    """Joined, the tokens are the text; they are words with the space before them, not letters."""
    assert whole == "".join(tokens(whole))
    assert ["The", " sky", " is"] == tokens(SENTENCE)[:3]


def test_scripted_answer(server: DemoOllama) -> None:
    """A scripted answer comes word for word, also to a question with white space around it."""
    server.answers["What color is the sky?"] = SENTENCE

    assert SENTENCE == ask(server, "What color is the sky?")
    assert SENTENCE == ask(server, "What color is the sky?\n")


def test_thinking_model_thinks_unless_told_not_to(server: DemoOllama) -> None:
    """The thought comes first and in pieces of its own; ``think: false`` leaves it out."""
    _, thought = chat(server, "demo-thinking", "Count to 20.")
    _, silent = chat(server, "demo-thinking", "Count to 20.", think=False)

    assert 'The user asks "Count to 20.".' in text(thought, "thinking")
    assert EXCUSE == text(thought) == text(silent)
    assert "" == text(silent, "thinking")
    assert all(not line["message"]["content"] for line in thought if "thinking" in line["message"])


def test_pace() -> None:
    """At 200 tokens a second twenty tokens take a tenth of a second; a timer may be a little early."""
    with DemoOllama(tokens_per_s=200) as server:
        server.answers["count"] = " ".join("x" * 20)
        start = time.perf_counter()

        assert 20 == len(chat(server, "demo", "count")[1]) - 1
        assert time.perf_counter() - start >= 19 / 200


@pytest.mark.parametrize("name", ["demo", "demo:latest", "DEMO", "library/demo"])
def test_model_names(name: str) -> None:
    """Names are completed by their tag, and case does not matter."""
    assert full_name(name).endswith("demo:latest")


@pytest.mark.parametrize("name", ["", "a b", "-a", "a:", ":b", "a/b/c/d", "é", "a\n"])
def test_bad_model_names(name: str) -> None:
    """What Ollama refuses as a name is refused."""
    with pytest.raises(OllamaError, match="invalid model name"):
        full_name(name)


def test_models_can_be_added_and_removed(server: DemoOllama, client: ollama.Client) -> None:
    """A test decides which models there are."""
    server.models.clear()
    server.models["llama3.2:latest"] = Model("llama3.2:latest", capabilities=("completion", "tools"))

    assert ["llama3.2:latest"] == [model.model for model in client.list().models]
    assert 404 == chat(server, "demo")[0]
    assert EXCUSE == ask(server, "Count to 20.", "llama3.2")


def test_unloaded_model_leaves_the_list(client: ollama.Client) -> None:
    """A model is among the loaded ones after a question, and no longer when it was unloaded."""
    client.chat("demo", [{"role": "user", "content": "hi"}], keep_alive="1h30m")
    loaded = [model.model for model in client.ps().models]
    client.generate("demo", keep_alive=0)

    assert ["demo:latest"] == loaded
    assert [] == client.ps().models


def test_pull(server: DemoOllama, client: ollama.Client) -> None:
    """A pull reports its progress, and the model is there afterwards; an unknown one fails inside the stream."""
    steps = list(client.pull("demo-new", stream=True))
    pulled = [step.completed for step in steps if step.completed]

    assert ("pulling manifest", "success") == (steps[0].status, steps[-1].status)
    assert [250_000, 500_000, 750_000, 1_000_000] == pulled
    assert "success" == client.pull("demo").status
    assert EXCUSE == ask(server, "Count to 20.", "demo-new")
    with pytest.raises(ollama.ResponseError, match="file does not exist"):
        list(client.pull("nope", stream=True))


async def test_clients_of_ollama_work_unmodified(server: DemoOllama) -> None:
    """The ``ollama`` package and LangChain's classes get text, thought, tool calls and the end."""
    server.answers["sky"] = SENTENCE
    # LangChain's classes never close their connections; the server does it for them.
    common: dict[str, Any] = {"base_url": server.url, "client_kwargs": {"headers": {"Connection": "close"}}}
    model = ChatOllama(model="demo-thinking", reasoning=True, **common)
    messages = [message async for message in model.astream("sky")]
    tool_model = ChatOllama(model="demo:tool-calls-two", **common)
    called = await tool_model.ainvoke("sky")

    assert SENTENCE == "".join(str(message.content) for message in messages)
    assert "sky" in "".join(message.additional_kwargs.get("reasoning_content", "") for message in messages)
    assert "stop" == next(m.response_metadata["done_reason"] for m in messages if m.response_metadata)
    assert [{"city": "Paris"}, {"city": "Rome"}] == [call["args"] for call in called.tool_calls]
    assert SENTENCE == await OllamaLLM(model="demo", **common).ainvoke("sky")
    async with ollama.AsyncClient(server.url) as client:
        assert SENTENCE == (await client.generate("demo", "sky")).response
        assert ["completion", "tools"] == (await client.show("demo:tool-call")).capabilities


def test_requests_are_recorded(server: DemoOllama, client: ollama.Client) -> None:
    """Every request is kept with its body, and says whether its answer was sent to the end."""
    chat(server, "demo", "one", options={"seed": 1})
    client.list()
    first, second = server.requests

    assert ("POST", "/api/chat", {"seed": 1}) == (first.method, first.path, first.body["options"])
    assert ("GET", "/api/tags", {}) == (second.method, second.path, second.body)
    assert (True, False) == (first.finished, first.closed)


@pytest.mark.parametrize("model", ["demo:stall-1", "demo:endless-1000", "demo:repeat", "demo:done-hang"])
def test_leaving_client_ends_the_generation(server: DemoOllama, model: str) -> None:
    """The generation ends as soon as the connection closes, also where nothing would be sent any more."""
    with asked(server, model) as response:
        response.readline()
        assert server.wait_active(1)
    assert server.wait_idle(timeout_s=1)
    assert (False, True) == (server.requests[0].finished, server.requests[0].closed)


def test_leaving_before_the_first_token_ends_the_generation(server: DemoOllama) -> None:
    """A client that leaves while nothing has been sent is noticed too."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
        connection.request("POST", "/api/chat", body_of("demo:silent"))
        assert server.wait_active(1)
    assert server.wait_idle(timeout_s=1)


def test_waiting_gives_up(server: DemoOllama) -> None:
    """Waiting for what does not come ends with False."""
    assert not server.wait_active(1, timeout_s=0.01)
    assert server.wait_idle(timeout_s=0)


def test_close_cuts_open_streams_at_once() -> None:
    """Closing ends the thread and the streams within a second, and the port can be used again at once."""
    server = DemoOllama(tokens_per_s=None, scenarios=True).start()
    with asked(server, "demo:stall") as response:
        response.readline()
        start = time.perf_counter()
        server.close()

        assert time.perf_counter() - start < 1
        assert [] == [thread for thread in threading.enumerate() if thread.name == "demo-ollama"]
        with pytest.raises(http.client.IncompleteRead):
            response.read()
    assert server.requests[0].closed
    with server:
        assert 200 == chat(server, "demo")[0]
    server.close()


def test_taken_port_is_an_error(server: DemoOllama) -> None:
    """Two servers can't have one port."""
    with pytest.raises(OSError, match=r"(?i)address already in use"):
        DemoOllama(port=server.port).start()


def test_fixture_points_ollama_host_to_the_demo(demo_ollama: DemoOllama) -> None:
    """A test that takes the fixture talks to it without naming it."""
    demo_ollama.answers["hi"] = "there"

    with ollama.Client() as unaddressed:
        assert "there" == unaddressed.chat("demo", [{"role": "user", "content": "hi"}]).message.content


def test_plugin_is_light() -> None:
    """The pytest plugin, which every run of pytest loads, imports no web framework."""
    script = "import sys, llmstream.testing; sys.exit(bool({'starlette', 'uvicorn', 'ollama'} & set(sys.modules)))"

    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
