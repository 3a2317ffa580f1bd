"""The bytes of LangChain's Agent Streaming Protocol: golden transcripts, cuts, channels."""

from __future__ import annotations

import json

import pytest

from llmstream import sse
from llmstream.dialects.langgraph.encoder import RunEncoder
from llmstream.dialects.langgraph.frames import Wanted
from llmstream.dialects.langgraph.request import StreamRequest
from llmstream.events import Cancelled, Data, Event, Failed, Finished, Reasoning, Status, Timings, Token, Usage
from tests.support.agent_protocol import BEFORE, RUN, Fields, state, streaming, until
from tests.support.golden import golden
from tests.support.message_runs import RUNS, START
from tests.support.serving import Served, post

FAILED = Failed("upstream_truncated", "The answer broke off.", True)

LINES: dict[str, list[Event]] = {
    **RUNS,
    "text": [
        START,
        Status("loading", "Loading demo."),
        Data("sources", [{"title": "t"}]),
        Reasoning("Hm."),
        Token("Blue"),
        Token(" sky 日本\n"),
        Finished("stop", Usage(11, 5), Timings()),
    ],
    "length": [START, Token("Blue"), Finished("length", Usage(), Timings())],
    "failed": [START, Token("Blue"), FAILED],
    "failed_early": [START, FAILED],
    "stopped": [START, Token("Blue"), Cancelled("stop")],
    "left": [START, Token("Blue"), Cancelled("left")],
    "replaced": [START, Token("Blue"), Cancelled("replaced")],
}


def events_of(body: bytes) -> list[Fields]:
    """The events of a stream."""
    return [json.loads(message.data) for message in sse.Decoder().feed(body)]


@pytest.mark.parametrize("line", LINES)
def test_transcript(line: str) -> None:
    """The bytes are those of the golden transcript, for every end there is."""
    golden(f"langgraph_{line}", RunEncoder(RUN, BEFORE).encode(1, LINES[line]), fixed=True)


@pytest.mark.parametrize("line", LINES)
def test_nothing_is_lost_or_doubled_at_any_cut(line: str) -> None:
    """Whoever comes back after any byte, with or without the number of what it had last, has every event once."""
    whole = RunEncoder(RUN, BEFORE).encode(1, LINES[line])
    every = events_of(whole)
    assert [each["seq"] for each in every] == list(range(every[0]["seq"], every[0]["seq"] + len(every)))
    for cut in range(len(whole)):
        had = events_of(whole[:cut])
        since = had[-1]["seq"] if had else 0
        assert every == had + events_of(RunEncoder(RUN, BEFORE, wanted=Wanted(since=since)).encode(1, LINES[line]))
        assert every == list({each["event_id"]: each for each in [*had, *every]}.values())


@pytest.mark.parametrize("channels", [["messages"], ["lifecycle", "input"], ["values", "tools"], ["custom:sources"]])
def test_channels_are_a_part_of_the_whole(channels: list[str]) -> None:
    """A client that listens to some of the channels gets those events as everybody does."""
    for line in LINES.values():
        every = events_of(RunEncoder(RUN, BEFORE).encode(1, line))
        some = events_of(RunEncoder(RUN, BEFORE, wanted=Wanted(frozenset(channels))).encode(1, line))
        names = {"input.requested": "input"}
        assert some == [
            each
            for each in every
            if names.get(each["method"], each["method"]) in channels
            or f"custom:{each['params']['data'].get('name')}" in channels
        ]


@pytest.mark.parametrize(
    ("namespaces", "shows"), [(None, True), ([[]], True), ([["agent"], []], True), ([["a"]], False)]
)
def test_namespaces_are_filtered(namespaces: list[list[str]] | None, shows: bool) -> None:
    """All events come from the root."""
    wanted = StreamRequest(channels=["lifecycle"], namespaces=namespaces, depth=1).wanted()
    assert shows is bool(RunEncoder(RUN, wanted=wanted).encode(1, LINES["text"]))


def test_what_json_can_hardly_hold(served: Served) -> None:
    """A client's numbers and halves of letters break no thread."""
    block = '{"type": "text", "text": "Why \\ud83d?", "n": 1e999, "m": 123456789012345678901234567890}'
    message = f'{{"type": "human", "content": [{block}]}}'
    body = f'{{"id": 1, "method": "run.start", "params": {{"input": {{"messages": [{message}]}}}}}}'
    headers = {"content-type": "application/json"}
    answer = post(f"{served.url}/threads/t/commands", content=body, headers=headers)
    assert "success" == answer.json()["type"], answer.text
    with streaming(served) as events:
        until(events, "completed")
    (shown,) = state(served)["values"]["messages"][0]["content"]
    assert ("Why \ufffd?", None) == (shown["text"], shown["n"])
