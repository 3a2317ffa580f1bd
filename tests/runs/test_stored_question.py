"""The question of a cut answer, as others than its owner may have written it into the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.errors import InvalidRequest, ModelNotAllowed
from tests.support.cut_answers import MakeRuns, asked_with, cut, key_of
from tests.support.redis import RedisServer


def with_field(name: str, value: Any) -> Callable[[dict[str, Any]], bytes]:
    """What was stored, with another value in one place."""
    return lambda known: json.dumps({**known, name: value}).encode()


@pytest.mark.parametrize(
    "forged",
    [
        lambda known: b"\x80\x04\x95",
        lambda known: b"[]",
        lambda known: json.dumps(known).encode()[:-2],
        lambda known: json.dumps(known).encode() + b" " * 2**21,
        lambda known: b'{"v":1,"messages":' + b"[" * 10**5,
        with_field("v", 2),
        with_field("refused", "no"),
        with_field("grace_s", -1),
        with_field("messages", []),
        with_field("messages", [{"content": "q"}]),
        with_field("messages", [{"role": "user", "content": {"a": 1}}]),
        with_field(
            "messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://h"}}]}]
        ),
        with_field("wishes", {"model": 1}),
    ],
)
async def test_bytes_of_strangers(
    server: RedisServer, upstream: DemoOllama, replica: MakeRuns, forged: Callable[[dict[str, Any]], bytes]
) -> None:
    """Whoever may write to the store can have nothing asked that a client could not ask: one sentence, no request."""
    run = await cut(replica())
    server.client.set(key_of(run), forged(json.loads(server.client.get(key_of(run)))))
    with pytest.raises(InvalidRequest, match="is damaged, of another version"):
        await replica().continue_run(run.id)

    assert 1 == len(asked_with(upstream))


async def test_wishes_of_strangers(server: RedisServer, upstream: DemoOllama, replica: MakeRuns) -> None:
    """A wish is checked as a client's is, and is not enough: the request must come to what was asked."""
    run = await cut(replica())
    known = json.loads(server.client.get(key_of(run)))
    for wishes, error in (
        ({"model": "big:cloud"}, ModelNotAllowed),
        ({"model": "http://evil/v1"}, InvalidRequest),
        ({"model": "demo:length", "options": {"num_gpu": 0}}, InvalidRequest),
        ({"model": "demo:one-chunk"}, InvalidRequest),
    ):
        server.client.set(key_of(run), json.dumps({**known, "wishes": wishes, "grace_s": 1e300}))
        with pytest.raises(error):
            await replica().continue_run(run.id)

    assert 1 == len(asked_with(upstream))
