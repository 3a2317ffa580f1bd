"""Mistakes in the arguments of a question: told at the call, in a sentence, with the nearest name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from llmstream import Settings, astream, astream_events, stream, stream_events
from llmstream.errors import InvalidRequest, LlmstreamError, ModelNotFound, SettingsError
from llmstream.fastapi import create_app, create_router
from llmstream.gradio import create_chat
from llmstream.notebook import Chat, show, show_sync
from llmstream.ollama.names import nearest_model
from llmstream.settings import misspelled

CALLS: list[Callable[..., Any]] = [stream, astream, stream_events, astream_events, show, show_sync]


@pytest.mark.parametrize("call", CALLS)
def test_unknown_argument(call: Callable[..., Any]) -> None:
    """It is Python's own TypeError, at the call, before anything is iterated or awaited."""
    refused = f"{call.__name__}() got an unexpected keyword argument "
    for name, told in [
        ("modle", "'modle'. Did you mean 'model'?"),
        ("temperature", "'temperature'. It is an option: options={\"temperature\": …}."),
        ("wrong", "'wrong'. It takes chain, answer_nodes, thread, resume, inputs, config, context, history, images, "
         "settings, model, thinking, options, tools, format."),
    ]:  # fmt: skip
        with pytest.raises(TypeError) as caught:
            call("Why?", **{name: 1})
        assert refused + told == str(caught.value)


@pytest.mark.parametrize("make", [create_router, create_app, create_chat, Chat])
def test_unknown_argument_of_a_surface(make: Callable[..., Any]) -> None:
    """It is told in the same way, and `help` and editors see the arguments that there are."""
    with pytest.raises(TypeError) as caught:
        make(None, setings=Settings())
    refused = f"{make.__name__}() got an unexpected keyword argument 'setings'. Did you mean 'settings'?"
    assert refused == str(caught.value)
    assert {"settings", "runs", "answer_nodes"} <= set(inspect.signature(make).parameters)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("model", 3, "model takes the name of a model, got 3."),
        (
            "thinking",
            "very",
            "thinking takes True, False or one of minimal, low, medium, high, xhigh, max, got 'very'.",
        ),
        ("history", "earlier", "history takes a list of messages, got 'earlier'."),
        ("options", ["top_k"], 'options takes a dict, such as {"temperature": 0.2}, got list.'),
        ("options", {"temprature": 1}, "options has 'temprature', which no model takes. Did you mean 'temperature'?"),
        ("settings", {"model": "x"}, "settings takes a Settings, such as Settings(temperature=0.2), got dict."),
        ("answer_nodes", "agent", "answer_nodes takes a list of names, got 'agent'."),
        ("context", "x" * 2 * 40, None),
        ("options", {"an_option_of_a_new_ollama": 1}, None),
    ],
)
@pytest.mark.usefixtures("ollama")
async def test_value_of_the_wrong_kind(name: str, value: Any, told: str | None) -> None:
    """It is refused before the model is asked, with what the argument takes; a long value is not repeated."""
    arguments: Any = {"model": "demo:latest", name: value}
    if told is None:
        assert "".join([piece async for piece in astream("Why?", **arguments)])
        return
    with pytest.raises(InvalidRequest) as caught:
        await anext(astream("Why?", **arguments))
    assert told == caught.value.message


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("dmo", "Get it with `ollama pull dmo`."),
        (
            "demo:gone",
            "Names with `demo:` are faults for tests, under the fixture `demo_ollama`: docs/testing.md lists them.",
        ),
    ],
)
@pytest.mark.usefixtures("ollama")
async def test_misspelt_model(model: str, told: str) -> None:
    """The nearest of the models that are there is told, as code, as the command is: it is for who runs the server.

    A fault of the demo's can't be pulled.
    """
    with pytest.raises(ModelNotFound) as caught:
        await anext(astream("Why?", model=model))
    assert f"The model {model!r} is not there. Did you mean `demo`? {told}" == caught.value.message


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("qwen9", "`qwen3:8b`"),
        ("qwen3:80b", "`qwen3:8b`"),
        ("lama3.2", "`llama3.2`"),
        ("llama3.2:latst", "`llama3.2`"),
        ("gone:latest", ""),
    ],
)
def test_nearest_model(name: str, told: str) -> None:
    """It is one that is there, by its whole name; that names have the same tag makes them near to nobody."""
    assert (f" Did you mean {told}?" if told else "") == nearest_model(
        name, ["qwen3:8b", "llama3.2:latest", "demo:latest"]
    )


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: create_router(3), "A chain is a LangChain Runnable or a function, got int."),
        (lambda: create_router(settings="x"), "settings takes a Settings, such as Settings(temperature=0.2), got 'x'."),  # type: ignore[arg-type]
        (lambda: create_router(protocols="openai"), "protocols takes a list, such as [\"openai\"], got 'openai'."),
        (lambda: create_chat(settings="x"), "settings takes a Settings, such as Settings(temperature=0.2), got 'x'."),  # type: ignore[arg-type]
    ],
)
def test_surfaces(call: Callable[[], Any], told: str) -> None:
    """So it is where a surface is made."""
    with pytest.raises((InvalidRequest, SettingsError)) as caught:
        call()
    assert told == caught.value.message


def test_misspelt_setting() -> None:
    """The nearest setting is told, and the nearest variable."""
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'temprature'\. Did you mean 'temperature'"):
        Settings(temprature=1)  # type: ignore[call-arg]
    assert "LLMSTREAM_MODLE is no setting of llmstream. Did you mean 'LLMSTREAM_MODEL'?" == misspelled(
        "LLMSTREAM_MODLE"
    )


def test_a_notebook_shows_the_own_lines() -> None:
    """What IPython shows of an error: the lines of the person's code, without our insides, then the message."""
    with pytest.raises(LlmstreamError) as caught:
        Settings(temperature="hot")  # type: ignore[arg-type]
    here, message = caught.value._render_traceback_()
    assert here.startswith(f"File {__file__}, line ")
    assert 'Settings(temperature="hot")' in here
    assert "\x1b[31mSettingsError\x1b[0m: temperature (LLMSTREAM_TEMPERATURE) takes a number" in message


@pytest.mark.usefixtures("ollama")
def test_a_notebook_shows_where_a_chain_failed() -> None:
    """The lines of a chain of one's own that raised come first, with what it raised."""

    def chain(question: str) -> float:
        return 1 / 0

    with pytest.raises(LlmstreamError) as caught:
        list(stream("Why?", chain=chain))
    shown = "\n".join(caught.value._render_traceback_())
    assert "return 1 / 0\n\x1b[31mZeroDivisionError\x1b[0m: division by zero\n" in shown
    assert "langchain_core" not in shown
    assert 2 == shown.count("File ") == shown.count(f"File {__file__}")
