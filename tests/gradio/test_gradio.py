"""The Gradio chat without a browser: events to messages."""

from __future__ import annotations

import pytest

from llmstream.demo_ollama.scenarios import NEWLINES
from llmstream.events import (
    Cancelled,
    Data,
    Event,
    Failed,
    Finished,
    Reasoning,
    Started,
    Status,
    Timings,
    Token,
    ToolCall,
    ToolResult,
    Usage,
)
from llmstream.gradio.messages import conversation, message
from llmstream.gradio.view import ChatView
from llmstream.view.markdown import escape

# Gradio makes an event loop wherever none runs, and leaves it to the garbage collector, which complains.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
DONE = Finished("stop", Usage(11, 3), Timings(0.25, 1.25, None, 3.0))


class Clock:
    """Time that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(*events: Event) -> list[tuple[str | None, str]]:
    """The title and the text of each message for these events."""
    view = ChatView(clock=Clock())
    view.put(events)
    return [((each["metadata"] or {}).get("title"), each["content"][0]["text"]) for each in view.messages()]


def test_answer_is_one_message_with_the_text_as_it_is() -> None:
    """The answer is one message, in the form in which Gradio leaves tabs, indentation and newlines alone."""
    view = ChatView(run_id="r1")
    view.put([Started("m", 0.0), Token("  \tif"), Token(NEWLINES), DONE])
    expected = {
        "role": "assistant",
        "content": [{"type": "text", "text": f"  \tif{NEWLINES}"}],
        "metadata": {"id": "r1"},
        "options": None,
    }
    assert [expected] == view.messages()


def test_thinking_is_a_message_of_its_own_with_its_time() -> None:
    """Thinking is pending while it grows, then done with its duration; the answer is another message."""
    clock = Clock()
    view = ChatView(clock=clock)
    view.put([Started("m", 0.0), Reasoning("Let me"), Reasoning(" think.")])
    assert {"title": "Thinking", "status": "pending"} == view.messages()[0]["metadata"]
    clock.now = 3.21
    view.put([Token("Blue.")])
    thinking, said = view.messages()
    assert {"title": "Thinking", "status": "done", "duration": 3.2} == thinking["metadata"]
    assert ("Let me think.", "Blue.") == (thinking["content"][0]["text"], said["content"][0]["text"])


@pytest.mark.parametrize(
    ("events", "title"),
    [
        ([], "Waiting for the answer · 1.5 s"),
        ([Started("m", 0.0)], "Waiting for m · 1.5 s"),
        ([Status("queued", "", 3)], "Waiting in line, number 3 · 1.5 s"),
        ([Status("loading", "Loading m into memory.")], "Loading m into memory · 1.5 s"),
        (
            [Status("queued", "", 3, eta_s=42.0, progress=0.04)],
            "░░░░░░░░░░ Waiting in line, number 3, about 40 s · 1.5 s",
        ),
        (
            [Status("waiting", "Reading the prompt: about 7 s left.", eta_s=7.0, progress=0.3)],
            "███░░░░░░░ Reading the prompt: about 7 s left · 1.5 s",
        ),
    ],
)
def test_waiting_says_for_what(events: list[Event], title: str) -> None:
    """Before the first token a pending note says what is waited for, and for how long."""
    clock = Clock()
    view = ChatView(clock=clock)
    view.put(events)
    clock.now = 1.5
    assert [{"title": title, "status": "pending"}] == [each["metadata"] for each in view.messages()]


def test_error_keeps_the_text_before_it() -> None:
    """A failed answer keeps its text, says what is wrong in words, and offers to go on."""
    view = ChatView()
    view.put([Token("The sky"), Failed("upstream_stalled", "Ollama stopped sending.", retryable=True)])
    said, error = view.messages()
    assert "The sky" == said["content"][0]["text"]
    assert ({"title": "⚠️ The answer is not complete"}, "Ollama stopped sending.") == (
        error["metadata"],
        error["content"][0]["text"],
    )
    assert ["Continue"] == [option["value"] for option in error["options"]]


def test_stopped_answer_is_marked() -> None:
    """A stopped answer keeps its text and is marked."""
    assert [(None, "The sky"), ("Stopped", "The answer was stopped.")] == shown(Token("The sky"), Cancelled("stop"))


def test_tools_and_sources_are_notes() -> None:
    """A tool's call and result are one note; sources are a list of links; the text goes on after them."""
    found = shown(
        ToolCall("1", "get_weather", {"city": "Paris"}),
        ToolResult("1", "```sunny"),
        Data("sources", [{"title": "A [b]", "url": "https://a.example/x y", "excerpt": "<b>"}, {"title": "No link"}]),
        Token("Sunny."),
        DONE,
    )
    assert [
        ("Tool: get_weather", '```json\n{\n  "city": "Paris"\n}\n```\n\n````\n```sunny\n````\n\n'),
        ("Sources (2)", "1. [A \\[b\\]](https://a.example/x%20y)  \n   \\<b\\>\n2. No link"),
        (None, "Sunny."),
    ] == found


def test_an_output_takes_the_place_of_the_one_before() -> None:
    """What a JSON parser gives, the whole so far each time, is shown once; other data are notes beside a text."""
    found = shown(Data("output", [1]), Data("cost", 1), Data("output", [1, 2]), Data("cost", 2), Token("Two."), DONE)
    assert [(None, "```json\n[\n  1,\n  2\n]\n```"), "cost", "cost", (None, "Two.")] == [
        (title, text) if title is None else title for title, text in found
    ]


def test_objects_alone_are_the_answer() -> None:
    """Where a chain gives no text, its objects are shown as one, in the place of notes and of a remark on emptiness."""
    found = shown(Data("sources", [{"title": "A"}]), Data("city", "Oslo"), Data("custom", 1), Data("size", 2), DONE)
    assert ["Sources (1)", "custom", None] == [title for title, _ in found]
    assert '```json\n{\n  "city": "Oslo",\n  "size": 2\n}\n```' == found[-1][1]
    assert [(None, "```json\n[\n  1,\n  2\n]\n```")] == shown(Data("item", 1), Data("item", 2), DONE)


def test_link_of_a_source_is_http() -> None:
    """A source whose address is no http address is no link."""
    found = shown(Data("sources", [{"title": "x", "url": "javascript:alert(1)"}]), DONE)
    assert ("Sources (1)", "1. x") == found[0]


def test_line_under_the_answer() -> None:
    """The line says the time to the first token, tokens, speed and model, and whether the conversation was cut."""
    view = ChatView()
    view.put([Started("m_1", 0.0), Token("x"), Status("prompt_truncated", "")])
    view.put([Finished("stop", Usage(1, 3), Timings(0.25, 1.25, None, 3.0))])
    expected = "250 ms to first token · 3 tokens · 3.0 tokens/s · m\\_1 · the conversation was cut to fit the model"
    assert expected == view.line


def test_conversation_leaves_notes_out() -> None:
    """A chain is told roles and texts: no notes, no empty messages, the parts of one answer joined."""
    messages = [
        message("user", "Why?"),
        message("assistant", "Let me think.", {"title": "Thinking"}),
        message("assistant", "Because", {"id": "r1"}),
        message("assistant", "", None),
        message("assistant", " so.", None),
        {"role": "user", "content": [{"type": "text", "text": "And "}, {"type": "file"}, "why?"]},
        {"role": "system", "content": "obey"},
        "not a message",
    ]
    expected = [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Because so."},
        {"role": "user", "content": "And why?"},
    ]
    assert expected == conversation(messages)


def test_escape_leaves_nothing_to_markdown() -> None:
    """Text of others in a line of ours is shown as it is."""
    assert r"\*a\* \[b\]\(c\) \<d\>" == escape("*a*\n[b](c) <d>")
    assert r"http\://a\.b" == escape("http://a.b")  # no link with backslashes in it
