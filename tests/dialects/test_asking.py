"""A graph asks a person, over HTTP: how each dialect tells it, and how the answer goes on with the graph."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import FastAPI
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from llmstream.client import Client
from llmstream.errors import InvalidRequest
from llmstream.events import Interrupted, Token
from llmstream.fastapi import create_app, create_router
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from llmstream.view.interrupts import ASK_ELSEWHERE
from tests.support.asking_graphs import mail_graph, year_graph
from tests.support.serving import Serve, Served, get, messages, post

Frames = list[dict[str, Any]]
ASKED = "I would send a mail.\n\nSend this mail?\n\nDecide: approve or edit or reject."


@pytest.fixture
def served(serve: Serve, settings: Settings) -> Served:
    """A server over the graph that sends mails."""
    return serve(create_app(settings, chain=mail_graph()))


def frames(raw: bytes) -> Frames:
    """The JSON of a stream's frames."""
    return [json.loads(message.data) for message in messages(raw) if message.data != "[DONE]"]


def stream(served: Served, **body: Any) -> Frames:
    """The events of a run."""
    return frames(post(f"{served.url}/stream", json=body).content)


def text(found: Frames) -> str:
    """The text of the native events."""
    return "".join(each["text"] for each in found if each["type"] == "token")


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        ({"type": "approve"}, "The mail was sent to ann."),
        ({"type": "reject", "message": "no"}, "The mail was no."),
        ({"type": "edit", "edited_action": {"name": "send_mail", "args": {"to": "bob"}}}, "The mail was sent to bob."),
    ],
)
def test_native(served: Served, decision: dict[str, Any], expected: str) -> None:
    """The answer to an interrupt, by its id and on its thread, goes on with the graph."""
    asked = stream(served, question="Mail ann.", thread="t")
    assert ("interrupted", "I would send a mail.") == (asked[-1]["type"], text(asked))
    (interrupt,) = asked[-1]["interrupts"]
    run = get(f"{served.url}/runs/{asked[0]['run']}").json()
    assert ("interrupted", [interrupt]) == (run["state"], run["interrupts"])
    answered = stream(served, thread="t", resume={interrupt["id"]: {"decisions": [decision]}})
    assert ("finished", expected) == (answered[-1]["type"], text(answered))


@pytest.mark.parametrize(
    "body",
    [
        {"thread": "other", "resume": {"i": 1}},
        {"resume": {}},
        {"question": "x", "resume": {"i": 1}},
        {"thread": "t"},
        {"thread": "t", "resume": {"i": 1}},
    ],
)
def test_answers_that_nobody_asked_for(served: Served, body: dict[str, Any]) -> None:
    """A thread that waits for nothing, or for another answer, and a question beside an answer are refused."""
    stream(served, question="Mail ann.", thread="t")
    assert 422 == post(f"{served.url}/stream", json=body).status_code


def test_threads_belong_to_their_caller(serve: Serve, settings: Settings) -> None:
    """Nobody answers for another caller, who has a thread of the same name."""
    app = FastAPI()
    app.state.runs = runs = Runs(settings)
    who = lambda request: request.headers.get("x-user")  # noqa: E731
    app.include_router(create_router(mail_graph(), runs=runs, identify=who))
    url = f"{serve(app).url}/stream"
    asked = frames(post(url, json={"question": "Mail.", "thread": "t"}, headers={"x-user": "ann"}).content)
    answer = {"thread": "t", "resume": {asked[-1]["interrupts"][0]["id"]: {"decisions": [{"type": "approve"}]}}}
    assert 422 == post(url, json=answer, headers={"x-user": "bob"}).status_code
    assert 200 == post(url, json=answer, headers={"x-user": "ann"}).status_code


def test_python_client(served: Served) -> None:
    """Our own client reads what is asked as text, and takes the answer."""
    client = Client(served.url)
    assert ASKED == "".join(client.stream("Mail ann.", thread="a"))
    *_, end = client.stream_events("Mail ann.", thread="b")
    assert isinstance(end, Interrupted)
    answer = {end.interrupts[0]["id"]: {"decisions": [{"type": "approve"}]}}
    events = list(client.stream_events(None, thread="b", resume=answer))
    assert "The mail was sent to ann." == "".join(event.text for event in events if isinstance(event, Token))
    with pytest.raises(InvalidRequest):
        client.start(None, thread="b", resume=answer)


def test_clients_of_one_text_read_what_is_asked(served: Served) -> None:
    """Who reads nothing but text reads the question, in an answer that is complete."""
    ask = [{"role": "user", "content": "Mail ann."}]
    plain = post(f"{served.url}/stream-with-post", json={"question": "Mail ann."}).content
    assert (ASKED, "done") == ("".join(each.data for each in messages(plain)), messages(plain)[-1].event)
    assert ASKED == post(f"{served.url}/nostream", json={"question": "Mail ann."}).json()["answer"]
    name = get(f"{served.url}/v1/models").json()["data"][0]["id"]
    body = post(f"{served.url}/v1/chat/completions", json={"model": name, "messages": ask}).json()
    told = f"{ASKED}\n\n{ASK_ELSEWHERE}"
    assert (told, "stop") == (body["choices"][0]["message"]["content"], body["choices"][0]["finish_reason"])
    body = post(f"{served.url}/ollama/api/chat", json={"model": name, "messages": ask, "stream": False}).json()
    assert (told, "stop") == (body["message"]["content"], body["done_reason"])
    asked: dict[str, Any] = {"model": name, "max_tokens": 99, "messages": ask}
    body = post(f"{served.url}/v1/messages", json=asked, headers={"anthropic-version": "2023-06-01"}).json()
    assert (told, "end_turn") == (body["content"][0]["text"], body["stop_reason"])
    body = post(f"{served.url}/v1/responses", json={"model": name, "input": "Mail ann."}).json()
    said = [part["text"] for item in body["output"] if item["type"] == "message" for part in item["content"]]
    assert (told, "completed") == ("\n\n".join(part.strip() for part in said), body["status"])


def user(text: str) -> dict[str, Any]:
    """A message as useChat sends it."""
    return {"id": "u", "role": "user", "parts": [{"type": "text", "text": text}]}


def chat(served: Served, *said: dict[str, Any], **changes: Any) -> Frames:
    """The frames that useChat gets."""
    return frames(post(f"{served.url}/api/chat", json={"id": "c", "messages": list(said), **changes}).content)


def approval(frame: dict[str, Any], **approval: Any) -> dict[str, Any]:
    """The part of a call that a person has decided on."""
    decided = {"id": frame["approvalId"], **approval}
    call = {"type": "tool-send_mail", "toolCallId": frame["toolCallId"], "input": {"to": "ann"}}
    return {**call, "state": "approval-responded", "approval": decided}


@pytest.mark.parametrize(
    ("decision", "output"),
    [
        ({"approved": True}, "sent to ann"),
        ({"approved": False, "reason": "no"}, "no"),
        ({"approved": False}, "not sent"),
    ],
)
def test_ai_sdk_approval(served: Served, decision: dict[str, Any], output: str) -> None:
    """An approval, or its refusal, comes back in the call's part, and the answer goes on in the same message."""
    (asked,) = [each for each in chat(served, user("Mail ann.")) if each["type"] == "tool-approval-request"]
    parts = [{"type": "step-start"}, {"type": "text", "text": "I would send a mail."}, approval(asked, **decision)]
    found = chat(served, user("Mail ann."), {"id": "a", "role": "assistant", "parts": parts})
    assert "a" == found[0]["messageId"]
    result = {"type": "tool-output-available", "toolCallId": asked["toolCallId"], "output": output}
    assert result in found
    assert f"The mail was {output}." == "".join(each["delta"] for each in found if each["type"] == "text-delta")


def test_ai_sdk_conversation_goes_on_after_an_approval(served: Served) -> None:
    """The next question of a chat gets the thread as it is, and old approvals are no answers."""
    (asked,) = [each for each in chat(served, user("Mail ann.")) if each["type"] == "tool-approval-request"]
    before = [{"type": "step-start"}, {"type": "text", "text": "I would send a mail."}]
    first = {"id": "a", "role": "assistant", "parts": [*before, approval(asked, approved=True)]}
    chat(served, user("Mail ann."), first)
    call = {
        "type": "tool-send_mail",
        "toolCallId": asked["toolCallId"],
        "input": {"to": "ann"},
        "output": "sent to ann",
    }
    after = [{"type": "step-start"}, {"type": "text", "text": "The mail was sent to ann."}]
    whole = {"id": "a", "role": "assistant", "parts": [*before, {**call, "state": "output-available"}, *after]}
    again = chat(served, user("Mail ann."), whole, user("Once more."))
    assert "tool-approval-request" in [each["type"] for each in again]


def test_ai_sdk_open_approval(served: Served) -> None:
    """An answer in which a call is still open is refused with a sentence."""
    parts = [
        approval({"approvalId": "i#0", "toolCallId": "a"}, approved=True),
        {"type": "tool-x", "toolCallId": "b", "state": "approval-requested", "approval": {"id": "i#1"}},
    ]
    body = {"id": "c", "messages": [user("x"), {"id": "a", "role": "assistant", "parts": parts}]}
    assert 400 == post(f"{served.url}/api/chat", json=body).status_code


def test_ai_sdk_any_question(serve: Serve, settings: Settings) -> None:
    """What is no approval comes as data, and `resume` beside the messages answers it."""
    served = serve(create_app(settings, chain=year_graph()))
    (asked,) = [each["data"] for each in chat(served, user("When?")) if each["type"] == "data-interrupt"]
    assert "Which year?" == asked["value"]
    found = chat(served, user("When?"), resume={asked["id"]: 1990})
    assert "In 1990 it was." == "".join(each["delta"] for each in found if each["type"] == "text-delta")


def agui(served: Served, **changes: Any) -> Frames:
    """The frames that an AG-UI client gets."""
    said = [{"id": "m1", "role": "user", "content": "Mail ann."}]
    fields = {"threadId": "t", "runId": "r", "messages": said, "tools": [], "context": [], "state": {}}
    return frames(post(f"{served.url}/agui", json={**fields, "forwardedProps": {}, **changes}).content)


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        ({"status": "resolved", "payload": {"decisions": [{"type": "approve"}]}}, "sent to ann"),
        ({"status": "cancelled"}, "not sent"),
    ],
)
def test_agui(served: Served, answer: dict[str, Any], output: str) -> None:
    """The outcome names what is asked, and `resume` answers or refuses it."""
    end = agui(served)[-1]
    assert "interrupt" == end["outcome"]["type"]
    (asked,) = end["outcome"]["interrupts"]
    assert ("tool_approval", "call_1") == (asked["reason"], asked["toolCallId"])
    found = agui(served, resume=[{"interruptId": asked["id"], **answer}])
    said = "".join(each["delta"] for each in found if each["type"] == "TEXT_MESSAGE_CONTENT")
    assert (f"The mail was {output}.", {"type": "success"}) == (said, found[-1]["outcome"])


def test_agui_any_question(serve: Serve, settings: Settings) -> None:
    """What is no approval is asked for as an input; one that is cancelled is answered with null."""
    served = serve(create_app(settings, chain=year_graph()))
    (asked,) = agui(served)[-1]["outcome"]["interrupts"]
    assert ("input_required", "Which year?") == (asked["reason"], asked["message"])
    found = agui(served, resume=[{"interruptId": asked["id"], "status": "cancelled"}])
    assert "In None it was." == "".join(each["delta"] for each in found if each["type"] == "TEXT_MESSAGE_CONTENT")


def test_two_people_answer_at_once(serve: Serve, settings: Settings) -> None:
    """In a chat, too, the first answer is heard and the second one refused, without an end to the first one's run."""
    is_heard, go_on = threading.Event(), threading.Event()
    heard: list[Any] = []

    def ask(state: MessagesState) -> dict[str, Any]:
        heard.append(interrupt("Which year?"))
        is_heard.set()
        assert go_on.wait(30)
        return {"messages": [AIMessage(f"In {heard[-1]} it was.")]}

    graph = StateGraph(MessagesState).add_node("ask", ask).add_edge(START, "ask").compile(checkpointer=InMemorySaver())
    served = serve(create_app(settings, chain=graph))
    (asked,) = agui(served)[-1]["outcome"]["interrupts"]
    answer = {"interruptId": asked["id"], "status": "resolved"}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(agui, served, resume=[{**answer, "payload": 1990}])
        assert is_heard.wait(30)
        body = {"threadId": "t", "runId": "r", "messages": [], "resume": [{**answer, "payload": 2000}]}
        refused = post(f"{served.url}/agui", json=body)
        go_on.set()
        said = "".join(each["delta"] for each in first.result() if each["type"] == "TEXT_MESSAGE_CONTENT")
    assert (400, True) == (refused.status_code, "being answered already" in refused.text)
    assert ("In 1990 it was.", [1990]) == (said, heard)
