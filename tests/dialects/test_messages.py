"""Several messages, messages taken back, tools of the chain and questions to a person, in every dialect."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from ag_ui.core import Event as AguiEvent
from pydantic import TypeAdapter

from llmstream.dialects import NAMES
from llmstream.dialects.agui.encoder import AguiEncoder
from llmstream.dialects.ai_sdk.encoder import AiSdkEncoder
from llmstream.dialects.ai_sdk.request import UIMessage
from llmstream.dialects.native.encoder import NativeEncoder
from llmstream.dialects.native.plain import PlainEncoder
from llmstream.dialects.ollama.encoder import OllamaEncoder
from llmstream.dialects.openai.encoder import OpenAIEncoder, completion
from llmstream.events import (
    Event,
    Finished,
    Interrupted,
    Reasoning,
    Started,
    Timings,
    Token,
    ToolCall,
    ToolResult,
    Usage,
    Withdrawn,
    from_dict,
    to_dict,
)
from llmstream.http.encoder import OPEN, Encoder
from llmstream.ollama_server.backend import ChatRequest
from llmstream.ollama_server.lines import AnswerLines, go_json
from llmstream.runs.run import snapshot
from llmstream.view.answer import OneText, whole_text
from llmstream.view.interrupts import ASK_ELSEWHERE, actions_of, answer_of, answer_schema, in_words
from tests.support.golden import WIRE, golden
from tests.support.message_runs import END, MAIL, REQUEST, RUNS, START, interrupt
from tests.support.serving import messages

RUN = "0" * 32
ASKED = [{"id": "u1", "role": "user", "content": "Why?"}]
ENCODERS: dict[str, Callable[[], Encoder]] = {
    "native": lambda: NativeEncoder(RUN),
    "plain": lambda: PlainEncoder(RUN),
    "openai": lambda: OpenAIEncoder(RUN, model="graph", include_usage=True),
    "ai_sdk": lambda: AiSdkEncoder(RUN),
    "agui": lambda: AguiEncoder(RUN, thread_id="t-1", agent_run_id="r-1", asked=ASKED),
}
# What one text that only grows must come to.
TEXTS = {
    "two_messages": "A draft.\n\nA review.\n",
    "withdrawn": '{"grade":\n\nThe answer.',
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


def encoded(dialect: str, events: Sequence[Event]) -> bytes:
    """The run in a dialect, event by event, as a client receives it."""
    encoder = ENCODERS[dialect]()
    return OPEN + b"".join(encoder.encode(number, [event]) for number, event in enumerate(events, 1))


def frames(dialect: str, events: Sequence[Event]) -> list[dict[str, object]]:
    """The JSON of the run's frames."""
    return [json.loads(each.data) for each in messages(encoded(dialect, events)) if each.data != "[DONE]"]


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
    assert "A\n\nBC" == "".join(message.data for message in messages(encoded("plain", again)))
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


def test_ai_sdk_asks_for_an_approval_of_each_call() -> None:
    """Each call that a person decides on is asked for by its id; one of an earlier run is told first."""
    requests = [{"name": "a", "args": {"x": 1}}, {"name": "a", "args": {"x": 2}}]
    asks = Interrupted([interrupt("i", {"action_requests": requests, "review_configs": []})], Usage(), Timings())
    found = frames("ai_sdk", [START, ToolCall("c2", "a", {"x": 2}), asks])
    approvals = [frame for frame in found if frame["type"] == "tool-approval-request"]
    assert [("i#0", "i-0"), ("i#1", "c2")] == [(frame["approvalId"], frame["toolCallId"]) for frame in approvals]
    assert ["c2", "i-0"] == [frame["toolCallId"] for frame in found if frame["type"] == "tool-input-available"]
    assert ("finish", "tool-calls") == (found[-1]["type"], found[-1]["finishReason"])


def test_ai_sdk_result_of_a_call_in_the_message_that_goes_on() -> None:
    """The result of an approved call belongs to the call that the page has already."""
    encoder = AiSdkEncoder(RUN, message_id="m", calls=["c"])
    body = encoder.encode(1, [START, ToolResult("c", "sent"), Token("Done."), END])
    found = [json.loads(each.data) for each in messages(body)[:-1]]
    assert {"type": "tool-output-available", "toolCallId": "c", "output": "sent"} in found


def test_ai_sdk_changed_call_in_the_message_that_goes_on() -> None:
    """A page looks for a call in the open step alone: what became of it comes before the next one begins."""
    encoder = AiSdkEncoder(RUN, message_id="m", calls=["c"])
    call = ToolCall("c", "send_mail", {"to": "bob"})
    body = encoder.encode(1, [START, call, ToolResult("c", "sent"), Token("Done."), END])
    kinds = [json.loads(each.data)["type"] for each in messages(body)[:-1]]
    said = ["text-start", "text-delta", "text-end", "finish-step", "finish"]
    assert ["start", "tool-input-available", "tool-output-available", "start-step", *said] == kinds


def test_ai_sdk_message_that_goes_on_without_a_text() -> None:
    """It ends in a step of its own: else the page would take the calls' results for answers to send back."""
    encoder = AiSdkEncoder(RUN, message_id="m", calls=["c"])
    body = encoder.encode(1, [START, ToolResult("c", "sent"), END])
    kinds = [json.loads(each.data)["type"] for each in messages(body)[:-1]]
    assert ["start", "tool-output-available", "start-step", "finish-step", "finish"] == kinds


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
    """A message that is taken back while another one is said leaves that one whole."""
    text = OneText()
    said = [text.text_of(Token("a", "m")), text.text_of(Token("b", "n"))]
    text.rare(Withdrawn("m"))
    assert ["a", "\n\nb", "c"] == [*said, text.text_of(Token("c", "n"))]


def test_finish_of_calls_that_nobody_answered() -> None:
    """A call without a result at the end is the client's, also beside one that the chain answered."""
    calls: list[Event] = [ToolCall("a", "x", {}, "m"), ToolResult("a", 1), ToolCall("b", "y", {}, "n")]
    events = [Started("m", 0), *calls, Finished("tool_calls", Usage(), Timings())]
    choice = completion(RUN, "m", events)["choices"][0]
    assert ["b"] == [call["id"] for call in choice["message"]["tool_calls"]]
    assert "tool_calls" == choice["finish_reason"]


def test_ai_sdk_request_is_without_what_was_taken_back() -> None:
    """The parts of a message that was taken back are not sent to the chain again; each message is one of its own."""
    marked = [{"providerMetadata": {"llmstream": {"message": f"0-{name}"}}} for name in ("m1", "m2")]
    parts: list[dict[str, object]] = [
        {"type": "step-start"},
        {"type": "text", "text": "Draft", **marked[0]},
        {"type": "tool-x", "toolCallId": "c", "state": "output-error", "errorText": "The call was taken back."},
        {"type": "data-withdrawn", "data": {"message": "0-m1", "calls": ["c"]}},
        {"type": "step-start"},
        {"type": "text", "text": "One", **marked[1]},
        {"type": "step-start"},
        {"type": "text", "text": "Two"},
    ]
    said = UIMessage(id="a", role="assistant", parts=parts).to_messages(is_current=True)
    assert [{"role": "assistant", "content": text} for text in ("One", "Two")] == said
