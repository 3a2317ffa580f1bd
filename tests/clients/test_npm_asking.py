"""A graph that asks a person, as the AI SDK's Chat and AG-UI's HttpAgent show it and answer it."""

from __future__ import annotations

from typing import Any

import pytest

from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.asking_graphs import mail_graph
from tests.support.npm import CLIENTS, built, run_program
from tests.support.serving import Serve

pytestmark = pytest.mark.timeout(360)  # the first test installs the packages

SAID = "I would send a mail."


def found(serve: Serve, package: str) -> Any:
    """What the program says of a client of this package."""
    served = serve(create_app(Settings(demo="never"), chain=mail_graph()))
    return run_program(built(CLIENTS) / "approval.mjs", served.url, "", "", package)["found"]


@pytest.mark.parametrize("package", ["ai", "ai-6"])
def test_ai_sdk(serve: Serve, package: str) -> None:
    """The SDK's own approval goes on with the graph, in the same message, twice in one chat."""
    asked, approved, asked_again, rejected = found(serve, package)
    waiting = {"texts": [SAID], "tools": [{"state": "approval-requested"}], "asked": ["send_mail"]}
    assert (waiting, waiting) == (asked, asked_again)
    for each, output in ((approved, "sent to ann"), (rejected, "refused")):
        assert [SAID, f"The mail was {output}."] == each["texts"]
        assert [{"state": "output-available", "output": output}] == each["tools"]


def test_ai_sdk_5(serve: Serve) -> None:
    """Version 5 knows no approvals: it has the question as data before it reports the part it does not know."""
    (asked,) = found(serve, "ai-5")
    assert ([SAID], ["send_mail"], "AI_TypeValidationError") == (asked["texts"], asked["asked"], asked["error"]["name"])


def test_agui(serve: Serve) -> None:
    """The agent is told what is asked, and its answer or its refusal goes on with the graph, on the same thread."""
    approved, cancelled = found(serve, "@ag-ui/client")
    question = {"reason": "tool_approval", "message": "Send this mail?\n\nDecide: approve or edit or reject."}
    assert [question] == approved["asked"] == cancelled["asked"]
    assert ("success", [SAID, "The mail was sent to ann."]) == (approved["outcome"], approved["texts"])
    assert ("success", [SAID, "The mail was not sent."]) == (cancelled["outcome"], cancelled["texts"][2:])
    assert ["user", "assistant", "assistant", "tool", "assistant"] == approved["roles"]
