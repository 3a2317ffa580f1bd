"""Runs of chains that say more than one message, call tools of their own, take a message back, or ask a person."""

from __future__ import annotations

from llmstream.events import (
    Continued,
    Data,
    Event,
    Finished,
    Interrupt,
    Interrupted,
    Reasoning,
    Started,
    Timings,
    Token,
    ToolCall,
    ToolResult,
    Usage,
    Withdrawn,
)


def interrupt(id: str, value: object) -> Interrupt:
    """What a graph asks."""
    return Interrupt(id=id, value=value)


START = Started("graph", 1.5)
END = Finished("stop", Usage(11, 5), Timings(total_s=0.5))

REQUEST = {
    "action_requests": [{"name": "send_mail", "args": {"to": "ann"}, "description": "Send this mail?"}],
    "review_configs": [{"action_name": "send_mail", "allowed_decisions": ["approve", "edit", "reject"]}],
}
MAIL = ToolCall("call_mail", "send_mail", {"to": "ann"}, "m1")

RUNS: dict[str, list[Event]] = {
    "two_messages": [
        START,
        Reasoning("Hm.", "m1", "writer"),
        Token("A dra", "m1", "writer"),
        Token("ft.", "m1", "writer"),
        Token("A rev", "m2", "critic"),
        Token("iew.\n", "m2", "critic"),
        END,
    ],
    "withdrawn": [
        START,
        Data("sources", [{"title": "Sky", "excerpt": "It is blue."}], "m1"),
        Token('{"grade":', "m1", "grader"),
        ToolCall("call_grade", "grade", {"to": 5}, "m1"),
        Withdrawn("m1"),
        Token("The answer.", "m2", "writer"),
        END,
    ],
    "answered_tool": [
        START,
        Token("Let me look.", "m1", "agent"),
        ToolCall("call_look", "look_up", {"word": "sky"}, "m1"),
        ToolResult("call_look", "It is blue."),
        Token("It is blue.", "m2", "agent"),
        END,
    ],
    "failing_tool": [
        START,
        ToolCall("call_look", "look_up", {"word": "sky"}),
        ToolResult("call_look", "Error: ValueError('the station is down')\n Please fix your mistakes."),
        Token("I can't tell.", "m1", "agent"),
        END,
    ],
    "parallel_nodes": [
        START,
        Token("Blue.", "m1", "painter"),
        ToolCall("call_look", "look_up", {"word": "sky"}, "m2"),
        Token("Air scatters ", "m2", "physicist"),
        ToolResult("call_look", "It is blue."),
        Token("blue.", "m2", "physicist"),
        END,
    ],
    "continued": [
        START,
        Reasoning("Hm."),
        Token("The sky is bl"),
        Continued("1" * 32),
        Token("ue"),
        Token("."),
        END,
    ],
    "interrupted": [
        START,
        Token("I would send a mail.", "m1", "agent"),
        MAIL,
        Interrupted([interrupt("i1", REQUEST)], Usage(11, 5), Timings(total_s=0.5)),
    ],
    "interrupted_question": [
        START,
        Interrupted([interrupt("i1", {"question": "Which year?", "from": 1990})], Usage(), Timings()),
    ],
}
