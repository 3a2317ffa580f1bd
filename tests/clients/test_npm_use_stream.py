"""LangChain's useStream, drawn without a browser, against the real server: with the SDK it pins, and the newest one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmstream.demo_ollama.scenarios import NEWLINES, SENTENCE
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.asking_graphs import mail_graph
from tests.support.npm import EXACT, NOBODY, Clients, client_program, real_answer
from tests.support.serving import get, serving

pytestmark = pytest.mark.timeout(360)  # the first test installs the packages


@pytest.fixture(scope="module", params=["pinned", "newest"])
def sdk(request: pytest.FixtureRequest) -> str:
    """Which of LangChain's SDKs the hook stands on."""
    return str(request.param)


@pytest.fixture(scope="module")
def pages(sdk: str) -> Iterator[Clients]:
    """What a page made of every scenario."""
    with serving(create_app(Settings(ollama_url=NOBODY, demo="never"), chain=mail_graph())) as asking:
        get(f"{asking.url}/nothing-here")  # FastAPI finishes an app's routes at its first request
        with client_program("use_stream.mjs", sdk, asking.url) as clients:
            yield clients


def test_text_is_exact(pages: Clients) -> None:
    """Emoji, newlines and separators come through to the letter, onto the page too."""
    found = pages.found
    assert [["exact", EXACT], ["x", NEWLINES]] == [found[name]["texts"] for name in ("exact", "newlines")]
    assert f"exact|{EXACT}" == found["exact"]["drawn"]


def test_broken_connection_loses_and_doubles_nothing(pages: Clients) -> None:
    """The hook comes back by itself, without saying what it has, and the page has every piece once."""
    found = pages.found["cut"]
    assert (["exact", EXACT], None) == (found["texts"], found.get("error"))


def test_reasoning_is_apart(pages: Clients) -> None:
    """The thinking that was asked for is not part of the text."""
    found = pages.found["reasoning"]
    assert ("Let me think.", SENTENCE) == (found["reasoning"], found["texts"][-1])


def test_reason_of_the_end_is_told(pages: Clients, sdk: str) -> None:
    """An answer that met its limit says so; the pinned SDK drops it."""
    assert (None if sdk == "pinned" else "length") == pages.found["length"].get("finish")


def test_thread_goes_on(pages: Clients) -> None:
    """The second answer stands behind the first, each message once."""
    assert ["exact", EXACT, "exact", EXACT] == pages.found["twice"]["texts"]


def test_stop_ends_the_run(pages: Clients) -> None:
    """The hook's own stop keeps what came, shows no error, and frees the model at once."""
    found = pages.found["stop"]
    assert ("cancelled", False, None) == (found["run"], found["loading"], found.get("error"))
    assert found["texts"][-1].startswith(" 1")
    assert pages.upstream.wait_idle()


def test_reload_in_the_middle(pages: Clients) -> None:
    """A page that is opened on a thread shows the answer that is still going, from its beginning."""
    found = pages.found["reload"]
    before, after, last = (found[name]["texts"] for name in ("before", "after", "last"))
    assert [2, 2, 2] == [len(before), len(after), len(last)]
    assert after[-1].startswith(" 1 2")
    assert last[-1].startswith(after[-1])
    assert (True, False, "cancelled") == (found["after"]["loading"], found["last"]["loading"], found["run"])


def test_graph_asks_and_goes_on_after_a_reload(pages: Clients) -> None:
    """What a graph asks is there after a reload too; the answer goes on in the same thread, with the tool's result."""
    found = pages.found["pause"]
    for name in ("before", "asked"):
        assert "send_mail" == found[name]["asked"][0]["action_requests"][0]["name"]
        assert ["Mail ann.", "I would send a mail."] == found[name]["texts"]
    after = found["after"]
    assert ["human", "ai", "tool", "ai"] == after["types"]
    assert ("The mail was sent to ann.", [], False) == (after["texts"][-1], after["asked"], after["loading"])
    assert [{"name": "send_mail", "args": {"to": "ann"}, "status": "finished", "output": "sent to ann"}] == after[
        "tools"
    ]


def test_early_error_is_shown(pages: Clients) -> None:
    """A model that isn't there and an Ollama that is down are one sentence."""
    missing, down = (pages.found[name]["error"] for name in ("early_error", "unreachable"))
    assert "The model 'nobody' is not there. Get it with `ollama pull nobody`." == missing
    assert down.startswith("Ollama is not running at")


@pytest.mark.parametrize("scenario", ["late_error", "truncated"])
def test_broken_answer_is_an_error(pages: Clients, scenario: str) -> None:
    """An answer that broke off keeps what came and shows the error, never a short answer alone."""
    found = pages.found[scenario]
    assert SENTENCE.startswith(found["texts"][-1])
    assert "broke off" in found["error"]


def test_real_ollama(real_settings: Settings, sdk: str) -> None:
    """A real model's answer reaches the page as it reaches our own Python API."""
    found = real_answer("use_stream.mjs", real_settings, sdk, "")
    assert (found["expected"], False) == (found["texts"][-1], found["loading"])
