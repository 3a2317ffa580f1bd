"""Agents behind real clients: the AI SDK 5 to 7, assistant-ui, AG-UI, CopilotKit; each decision of a person."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support import hard_agent, real_agent
from tests.support.npm import CLIENTS, built, run_program
from tests.support.serving import Serve

pytestmark = pytest.mark.timeout(360)  # the first test installs the packages

CLIENT_NAMES = ("ai", "ai-6", "ai-5", "@ag-ui/client", "copilotkit", "assistant-ui")


def found(serve: Serve, client: str, chain: Any, **asked: Any) -> dict[str, Any]:
    """What a client shows when it is asked, and when it has answered, by the decision."""
    served = serve(create_app(Settings(demo="never"), chain=chain))
    arguments = [json.dumps(asked[each]) for each in ("question", "changed", "reason")]
    decisions: dict[str, Any] = run_program(built(CLIENTS) / "agents.mjs", served.url, "", "", client, *arguments)
    assert not [each for each in decisions.values() if "thrown" in each], decisions
    return decisions


@pytest.mark.parametrize("client", CLIENT_NAMES)
def test_hard_agent(serve: Serve, client: str) -> None:
    """A tool that fails, two nodes side by side, a draft that is taken back, and a pause, as the client shows them."""
    chain = hard_agent.hard_agent()
    decisions = found(serve, client, chain, question=hard_agent.QUESTION, changed={"to": "bob"}, reason="refused")
    said = list(hard_agent.SAID)
    if client == "assistant-ui":  # which shows a part that it has; the page is told that it was taken back
        said.insert(1, hard_agent.DRAFT)
        assert {1} == {each["answered"]["withdrawn"] for each in decisions.values()}
    ends = {"approve": "sent to ann", "edit": "sent to bob", "reject": "refused"}
    for decision, shown in decisions.items():
        failed, asked = shown["asked"]["tools"]
        assert (said, {"to": "ann"}, None) == (shown["asked"]["texts"], asked["input"], asked.get("output"))
        assert hard_agent.FAILURE in failed["output"]
        assert [*said, f"The mail was {ends[decision]}."] == shown["answered"]["texts"]
        assert [failed["output"], ends[decision]] == [each["output"] for each in shown["answered"]["tools"]]


@pytest.mark.parametrize("client", CLIENT_NAMES)
def test_real_agent(serve: Serve, real_settings: Settings, client: str) -> None:
    """`create_agent` on a real Ollama: the call that was made is the one that is shown, and its result follows."""
    chain = real_agent.weather_agent(real_settings.ollama_url)
    reason = real_agent.DECISIONS["reject"]["message"]
    decisions = found(serve, client, chain, question=real_agent.QUESTION, changed={"city": "Oslo"}, reason=reason)
    for decision, shown in decisions.items():
        (asked,), (answered,) = shown["asked"]["tools"], shown["answered"]["tools"]
        assert ({"city": "Paris"}, None) == (asked["input"], asked.get("output"))
        assert {"city": "Oslo" if decision == "edit" else "Paris"} == answered["input"]
        assert real_agent.RESULTS[decision] in json.dumps(answered["output"])
        assert "".join(shown["answered"]["texts"]).startswith("In Paris it is ")
