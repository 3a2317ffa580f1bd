"""Several messages, messages taken back, tools of the chain and questions to a person, in every dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ag_ui.core import Event as AguiEvent
from pydantic import TypeAdapter

from llmstream.dialects import NAMES
from llmstream.dialects.agui.encoder import AguiEncoder
from llmstream.dialects.ollama.encoder import OllamaEncoder
from llmstream.dialects.openai.encoder import completion
from llmstream.events import (
    Data,
    Event,
    Interrupted,
    Reasoning,
    Timings,
    Token,
    ToolCall,
    ToolResult,
    Usage,
    Withdrawn,
    from_dict,
    to_dict,
)
from llmstream.http.encoder import OPEN
from llmstream.ollama_server.backend import ChatRequest
from llmstream.ollama_server.lines import AnswerLines, go_json
from llmstream.runs.run import snapshot
from llmstream.view.answer import OneText, whole_text
from llmstream.view.interrupts import ASK_ELSEWHERE, actions_of, answer_of, answer_schema, in_words
from tests.support.golden import WIRE, golden
from tests.support.message_frames import ASKED, ENCODERS, RUN, encoded, frames
from tests.support.message_runs import END, MAIL, REQUEST, RUNS, START, interrupt
from tests.support.serving import messages

# What one text that only grows must come to.
TEXTS = {
    "two_messages": "A draft.\n\nA review.\n",
    "withdrawn": '{"grade":\n\n(The text above was taken back.)\n\nThe answer.',
    "answered_tool": "Let me look.\n\nIt is blue.",
    "failing_tool": "I can't tell.",
    "parallel_nodes": "Blue.\n\nAir scatters blue.",
    "continued": "The sky is blue.",
    "interrupted": "I would send a mail.\n\nSend this mail?\n\nDecide: approve or edit or reject.",
    "interrupted_question": 'Which year?\n\n{"from": 1990}',
}

# Behind what is asked of a person, for clients that can't give the answer.
ELSEWHERE = {run: f"\n\n{ASK_ELSEWHERE}" if run.startswith("interrupted") else "" for run in RUNS}
_agui: TypeAdapter[object] = TypeAdapter(AguiEvent)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("dialect", ENCODERS)
def test_transcript(dialect: str, run: str) -> None:
    """The bytes are those of the golden transcript, however the events came together."""
    body = encoded(dialect, RUNS[run])
    golden(f"{dialect}_{run}", body, fixed=True)
    assert body == OPEN + ENCODERS[dialect]().encode(1, RUNS[run])


@pytest.mark.parametrize("dialect", ["native", "plain", *NAMES[1:]])
def test_every_end_has_a_transcript(dialect: str) -> None:
    """Each dialect's form of each terminal event, and of each of these runs, is written down."""
    known = {path.stem.removeprefix(f"{dialect}_") for path in WIRE.glob(f"{dialect}_*.txt")}
    assert known >= {*RUNS, "length", "stopped"}
    assert not known.isdisjoint({"text", "one_chunk"})
    assert not known.isdisjoint({"error_late", "error_line", "failed"})


@pytest.mark.parametrize("run", RUNS)
def test_transcript_of_ollama(run: str) -> None:
    """The lines are those of the golden transcript."""
    lines = AnswerLines(ChatRequest("graph", ({"role": "user", "content": "Why?"},)))
    pieces = list(OllamaEncoder().encode(RUNS[run]))
    body = b"".join(lines.line(piece) for piece in pieces[:-1])
    body += go_json({"done_reason": pieces[-1].done_reason}) + b"\n"
    assert TEXTS[run] + ELSEWHERE[run] == "".join(piece.content for piece in pieces)
    golden(f"ollama_{run}", body)


@pytest.mark.parametrize("run", RUNS)
def test_one_text(run: str) -> None:
    """Clients of one text read the messages with a blank line between them, and what a person is asked."""
    plain = "".join(message.data for message in messages(encoded("plain", RUNS[run])))
    deltas = [choice["delta"] for frame in frames("openai", RUNS[run]) for choice in frame["choices"]]  # type: ignore[attr-defined]
    assert TEXTS[run] == plain
    assert TEXTS[run] + ELSEWHERE[run] == "".join(delta.get("content", "") for delta in deltas)


@pytest.mark.parametrize("run", RUNS)
def test_a_whole_answer_is_without_what_was_taken_back(run: str) -> None:
    """Where nothing has left yet, a message that was taken back is not told."""
    expected = "The answer." if run == "withdrawn" else TEXTS[run]
    message = completion(RUN, "graph", RUNS[run])["choices"][0]["message"]
    assert (expected, expected + ELSEWHERE[run]) == (whole_text(RUNS[run]), message["content"])


@pytest.mark.parametrize("run", RUNS)
def test_calls_of_the_chain_are_not_the_clients(run: str) -> None:
    """A call that the chain answered, withdrew, or asks a person about is not told to clients that would make it."""
    assert "stop" == completion(RUN, "graph", RUNS[run])["choices"][0]["finish_reason"]
    assert b"tool_calls" not in encoded("openai", RUNS[run])
    assert not any(piece.tool_calls for piece in OllamaEncoder().encode(RUNS[run]))


def test_a_message_said_anew_is_another_one() -> None:
    """What comes under an id that was taken back is no part of the text that has left."""
    again: list[Event] = [START, Token("A", "m"), Withdrawn("m"), Token("B", "m"), Token("C", "m"), END]
    assert "A\n\n(The text above was taken back.)\n\nBC" == "".join(
        message.data for message in messages(encoded("plain", again))
    )
    assert "BC" == snapshot(RUN, again).text
    starts = [frame for frame in frames("ai_sdk", again) if frame["type"] == "text-start"]
    assert ["text-1", "text-2"] == [frame["id"] for frame in starts]


def test_thinking_of_two_messages() -> None:
    """The thinking of two messages is told apart as their text is."""
    events: list[Event] = [START, Reasoning("a", "m"), Reasoning("b", "n"), END]
    thoughts = [piece.thinking for piece in OllamaEncoder().encode(events)]
    assert "a\n\nb" == "".join(thoughts) == snapshot(RUN, events).reasoning
    assert b'"reasoning_content":"\\n\\nb"' in encoded("openai", events)
    assert 2 == sum(frame["type"] == "reasoning-start" for frame in frames("ai_sdk", events))
    assert 2 == sum(frame["type"] == "REASONING_MESSAGE_START" for frame in frames("agui", events))


@pytest.mark.parametrize("run", RUNS)
def test_every_event_of_a_message_comes_back(run: str) -> None:
    """A client of the native dialect gets the very events."""
    assert RUNS[run] == [from_dict(fields) for fields in frames("native", RUNS[run])]
    assert RUNS[run] == [from_dict(to_dict(event)) for event in RUNS[run]]


@pytest.mark.parametrize("run", RUNS)
def test_agui_frames_are_of_the_protocol(run: str) -> None:
    """The protocol's own models take every frame, and no message is open where another begins."""
    open_messages: set[object] = set()
    for frame in frames("agui", RUNS[run]):
        _agui.validate_python(frame)
        kind = str(frame["type"])
        if kind == "TEXT_MESSAGE_START":
            assert not open_messages
            open_messages.add(frame["messageId"])
        elif kind == "TEXT_MESSAGE_END":
            open_messages.remove(frame["messageId"])
        elif kind in ("MESSAGES_SNAPSHOT", "RUN_FINISHED"):
            assert not open_messages


def test_agui_snapshot_is_what_stands() -> None:
    """What is taken back is not among the messages of the snapshot; what the client sent and what stands is."""
    events: list[Event] = [
        START,
        Token("Kept", "m0"),
        Token(".", "m0"),
        ToolCall("a", "look", {}, "m0"),
        ToolResult("a", "found"),
        *RUNS["withdrawn"][1:],
    ]
    (found,) = [frame["messages"] for frame in frames("agui", events) if frame["type"] == "MESSAGES_SNAPSHOT"]
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    assert [
        *ASKED,
        {"id": f"{RUN}-m1", "role": "assistant", "content": "Kept."},
        {"id": "a", "role": "assistant", "toolCalls": [call]},
        {"id": f"{RUN}-m3", "role": "tool", "toolCallId": "a", "content": "found"},
    ] == found


def test_snapshot_of_an_interrupted_run() -> None:
    """What a run waits for stands in its snapshot."""
    found = snapshot(RUN, RUNS["interrupted"])
    assert ("interrupted", "I would send a mail.") == (found.state, found.text)
    assert ([interrupt("i1", REQUEST)], Usage(11, 5)) == (found.interrupts, found.usage)
    assert "The answer." == snapshot(RUN, RUNS["withdrawn"]).text


def test_agui_call_that_a_person_has_changed() -> None:
    """The client gets the messages anew where the arguments are others, whatever spaces its own have."""
    sent: dict[str, Any] = {
        "id": "c",
        "type": "function",
        "function": {"name": "send_mail", "arguments": '{ "to": "ann" }'},
    }
    asked: list[dict[str, Any]] = [{"id": "a", "role": "assistant", "toolCalls": [sent]}]

    def told(to: str) -> list[dict[str, Any]]:
        encoder = AguiEncoder(RUN, thread_id="t", agent_run_id="r", asked=asked)
        body = encoder.encode(1, [START, ToolCall("c", "send_mail", {"to": to}), END])
        return [json.loads(each.data) for each in messages(body)[1:-1]]

    assert [] == told("ann")
    (snapshot,) = told("bob")
    (call,) = snapshot["messages"][0]["toolCalls"]
    assert ("MESSAGES_SNAPSHOT", {"to": "bob"}) == (snapshot["type"], json.loads(call["function"]["arguments"]))
    assert '{ "to": "ann" }' == sent["function"]["arguments"]


def test_per_call_approval() -> None:
    """The middleware's other mode asks about one call, by its id, and is answered by one decision."""
    value = {"type": "tool_approval", "tool_call_id": "call_mail", "name": "send_mail", "args": {}, "description": ""}
    asked = interrupt("i", value)
    found = frames("ai_sdk", [START, MAIL, Interrupted([asked], Usage(), Timings())])
    assert {"type": "tool-approval-request", "approvalId": "i", "toolCallId": "call_mail"} in found
    assert {"type": "approve"} == answer_of(asked, [{"type": "approve"}])
    assert "The tool send_mail is to be called with {}.\n\nDecide: approve or edit or reject." == in_words([asked])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("Go on?", "Go on?"),
        ({"query": "Who?"}, "Who?"),
        ({"a": "é"}, '{"a": "é"}'),
        (None, "null"),
        ([1], "[1]"),
        ({"action_requests": "x", "review_configs": []}, '{"action_requests": "x", "review_configs": []}'),
    ],
)
def test_any_question_in_words(value: object, words: str) -> None:
    """Whatever a graph asks with can be read."""
    asked = interrupt("i", value)
    assert (words, [], None) == (in_words([asked]), actions_of(asked), answer_schema(asked))


def test_decisions_that_are_allowed() -> None:
    """A call is decided on by what its tool allows, and the schema of the answer says so."""
    (action,) = actions_of(interrupt("i", REQUEST))
    assert ("approve", "edit", "reject") == action.allowed
    schema = answer_schema(interrupt("i", REQUEST))
    assert schema is not None
    (decision,) = schema["properties"]["decisions"]["prefixItems"]
    assert ["approve", "edit", "reject"] == decision["properties"]["type"]["enum"]
    assert {"decisions": [{"type": "approve"}]} == answer_of(interrupt("i", REQUEST), [{"type": "approve"}])


def test_another_message_taken_back_breaks_nothing() -> None:
    """A message that is taken back while another one is said leaves that one whole, and is named behind it."""
    text = OneText()
    said = [text.text_of(Token("a  b", "m")), text.text_of(Token("c", "n"))]
    text.rare(Withdrawn("m"))
    assert ["a  b", "\n\nc", "d"] == [*said, text.text_of(Token("d", "n"))]
    assert "\n\n(The text above that begins with “a b” was taken back.)" == text.rare(END)


def test_a_text_that_was_taken_back_at_the_end() -> None:
    """An answer that a chain has blocked does not look complete to those who have read it."""
    text = OneText()
    assert ["No.", ""] == [text.text_of(Token("No.", "m")), text.rare(Withdrawn("m"))]
    assert "\n\n(The text above was taken back.)" == text.rare(END)


def test_an_object_behind_a_text_that_was_taken_back() -> None:
    """It is all that the answer is, and told as JSON."""
    events: list[Event] = [START, Token("4", "m"), Withdrawn("m"), Data("answer", 4), END]
    text = "".join(message.data for message in messages(encoded("plain", events)))
    assert "4\n\n(The text above was taken back.)\n\n" == text.removesuffix('{"answer": 4}')
