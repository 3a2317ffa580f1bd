"""A graph that waits for a person, on the chat page in a real Chromium; the server sends recorded events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response
from playwright.sync_api import expect

from llmstream.http.pages import add_pages
from llmstream.runs.manager import Runs
from tests.support.axe import check_by_axe, with_axe
from tests.support.page import QUESTION, Chat, Pages
from tests.support.serving import Served, serving

APPROVAL = {
    "action_requests": [
        {"name": "send_mail", "args": {"to": "ann@example.com"}, "description": "A mail is to be sent."},
        {"name": "delete_file", "args": {"path": "old.txt"}},
    ],
    "review_configs": [
        {"action_name": "send_mail", "allowed_decisions": ["approve", "edit", "reject"]},
        {"action_name": "delete_file", "allowed_decisions": ["approve", "reject"]},
    ],
}
DRAFT: list[dict[str, Any]] = [
    {"type": "token", "message": "a", "name": "writer", "text": "A draft."},
    {"type": "token", "message": "b", "name": "critic", "text": "I will ask you."},
    {"type": "withdrawn", "message": "a"},
]


@dataclass
class Graph:
    """A server whose runs are what was recorded, one after the other; and what it was asked."""

    runs: list[list[dict[str, Any]]]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def app(self) -> FastAPI:
        """The page, and the routes that it needs."""
        app = FastAPI()
        app.state.runs = Runs()  # which the server would end when it stops
        add_pages(app, lambda: None)
        app.get("/health")(lambda: {"status": "ok"})
        app.get("/models")(lambda: {"models": [{"name": "graph"}], "default": "graph"})

        @app.post("/runs", status_code=201)
        async def start(request: Request) -> dict[str, str]:
            self.asked.append(await request.json())
            return {"run_id": f"{len(self.asked):032}"}

        @app.get("/runs/{run}/events")
        async def events(run: str) -> Response:
            facts = [{"type": "started", "model": "graph", "created_at": 0}, *self.runs[int(run) - 1]]
            numbered = [fact | {"run": run, "seq": seq} for seq, fact in enumerate(facts, 1)]
            body = "".join(f"data: {json.dumps(event)}\n\n" for event in numbered)
            return Response(body, media_type="text/event-stream")

        return app


@contextmanager
def graph(value: object) -> Iterator[tuple[Graph, Served]]:
    """A graph that asks this, and ends when it is answered."""
    asked = {"interrupts": [{"id": "i1", "value": value}]}
    waiting: list[dict[str, Any]] = [*DRAFT, {"type": "interrupted", "usage": {}, "timings": {}} | asked]
    finished: dict[str, Any] = {"type": "finished", "reason": "stop", "usage": {}, "timings": {}}
    made = Graph([waiting, [{"type": "token", "text": "It is done."}, finished]])
    with serving(made.app()) as served:
        yield made, served


def waits(chat: Chat) -> Chat:
    """Asks, and waits until something is asked back."""
    chat.ask().ends("An answer from you is needed.").shows("criticI will ask you.")
    expect(chat.answer).not_to_contain_text("A draft.")
    return chat


def test_calls_are_edited_and_rejected(pages: Pages) -> None:
    """Arguments that are no JSON are told of; the decisions are sent in the order of the calls."""
    with graph(APPROVAL) as (made, served):
        chat = waits(pages.open(served.url))
        mail = chat.page.get_by_role("group", name="May send_mail be called?")
        file = chat.page.get_by_role("group", name="May delete_file be called?")
        expect(mail).to_contain_text("A mail is to be sent.")
        expect(file.get_by_role("radio")).to_have_count(2)
        mail.get_by_label("Edit").check()
        arguments = mail.get_by_role("textbox", name="Arguments of send_mail")
        arguments.fill("{")
        chat.button("Continue").click()
        expect(chat.alert).to_contain_text("The arguments of send_mail must be a JSON object")
        arguments.fill('{"to": "bob@example.com"}')
        file.get_by_label("Reject").check()
        file.get_by_label("What the model is told").fill("I need it.")
        chat.button("Continue").click()
        chat.shows("It is done.").ends()
        expect(chat.answer).to_contain_text("Your answer")
        edited = {"type": "edit", "edited_action": {"name": "send_mail", "args": {"to": "bob@example.com"}}}
        assert {"i1": {"decisions": [edited, {"type": "reject", "message": "I need it."}]}} == made.asked[1]["resume"]
        assert "messages" not in made.asked[1]


def test_calls_are_approved_after_a_reload(pages: Pages) -> None:
    """What is asked is still asked after a reload; one click approves."""
    with graph(APPROVAL) as (made, served):
        chat = waits(pages.open(served.url))
        chat.page.reload()
        chat.button("Continue").click()
        chat.shows("It is done.").ends()
        assert {"i1": {"decisions": [{"type": "approve"}, {"type": "approve"}]}} == made.asked[1]["resume"]


def test_another_question_is_answered_with_a_text(pages: Pages) -> None:
    """Any other value is shown, and what is typed is the answer; a new question may be asked instead."""
    with graph({"question": "Which <color>?"}) as (made, served):
        chat = waits(pages.open(served.url))
        expect(chat.answer).to_contain_text('"question": "Which <color>?"')
        chat.page.get_by_label("Your answer").fill("Red.")
        chat.button("Continue").click()
        chat.shows("It is done.").ends()
        assert {"i1": "Red."} == made.asked[1]["resume"]
    with graph("Which?") as (made, served):
        chat = waits(pages.open(served.url))
        chat.page.get_by_label("Message").fill("Never mind.")
        chat.page.get_by_label("Message").press("Enter")
        chat.shows("It is done.").ends()
        assert [QUESTION, "I will ask you.", "Never mind."] == [each["content"] for each in made.asked[1]["messages"]]
        expect(chat.page.get_by_text("What was asked")).to_be_visible()


def test_accessibility_of_what_is_asked(pages: Pages) -> None:
    """The form can be used by everybody, wide and narrow, light and dark."""
    with graph(APPROVAL) as (_, served):
        chat = waits(with_axe(pages.open(served.url)))
        chat.page.get_by_label("Edit").check()
        check_by_axe(chat, "interrupted")
