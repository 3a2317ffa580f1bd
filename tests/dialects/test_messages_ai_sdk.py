"""Several messages, messages taken back and questions to a person, for the hooks of the AI SDK."""

from __future__ import annotations

import json

from llmstream.dialects.ai_sdk.encoder import AiSdkEncoder
from llmstream.dialects.ai_sdk.request import UIMessage
from llmstream.dialects.openai.encoder import completion
from llmstream.events import Event, Finished, Interrupted, Started, Timings, Token, ToolCall, ToolResult, Usage
from tests.support.message_frames import RUN, frames
from tests.support.message_runs import END, START, interrupt
from tests.support.serving import messages


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
