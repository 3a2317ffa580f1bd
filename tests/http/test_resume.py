"""Whoever comes back gets exactly what they missed: streams cut at every byte, and cut at random again and again."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain, repeat

import pytest

from llmstream import sse
from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.faultkit import Exchange, Fault, Proxy, ask, start
from tests.support.resuming import Client, random_faults, served_runs
from tests.support.serving import Serve, generations, messages

# No \r and no newline at the beginning: those the plain dialect can't carry exactly.
TEXT = "Né\n\n 😀 ok\u2028.\n"
LONG = "".join(f"{n}: só\n\n 😀 wörd\x85, {n * n};\n" for n in range(12))
CUTS = int(os.environ.get("LLMSTREAM_TEST_CUTS", "250"))
# Every byte of a connection is for `make soak`.
STEP = 1 if CUTS >= 10_000 else 7
PARALLEL = 8


def check(client: Client, text: str) -> None:
    """Nothing is lost, nothing came twice, and there is one end."""
    assert text == client.text
    run, numbers = {i.id.rpartition("-")[0] for i in client.applied}, [i.id.rpartition("-")[2] for i in client.applied]
    assert 1 == len(run)
    seqs = [int(number) for number in numbers]
    if client.plain:
        assert sorted(set(seqs)) == seqs
        assert ["done"] == [message.event for message in client.applied if message.event != "message"]
    else:
        assert list(range(1, len(seqs) + 1)) == seqs
        assert ["finished"] == [m.event for m in client.applied if m.event in ("finished", "failed", "cancelled")]


def check_over(client: Client) -> None:
    """Who has everything is told so."""
    run = client.last_id.rpartition("-")[0]
    assert 204 == ask(f"{client.url}/runs/{run}/events", headers={"last-event-id": client.last_id}).status


def forever(faults: Iterator[Fault]) -> Iterator[Fault]:
    """These faults, then none."""
    return chain(faults, repeat(Fault()))


@pytest.mark.parametrize("way", ["native-post", "plain-post"])
def test_a_stream_cut_anywhere_is_continued_exactly(
    way: str, upstream: DemoOllama, settings: Settings, serve: Serve
) -> None:
    """Wherever the answer to a POST broke off, the same POST again gives the rest and starts nothing."""
    upstream.answers["q"] = TEXT
    served = serve(create_app(settings))
    with Proxy(served.url) as proxy:
        path = "/stream" if way == "native-post" else "/stream-with-post"
        whole = Exchange(f"{served.url}{path}", "POST", question="q")
        positions = cuts(whole)
        before = generations(upstream)
        for position in positions:
            proxy.faults = forever(iter([Fault(cut_down=position, reset=position % 2 == 1)]))
            client = Client(proxy.url, "q", way, f"key-{position}")
            client.run()
            check(client, TEXT)
        assert len(positions) == generations(upstream) - before


def cuts(whole: Exchange) -> range:
    """Where to cut a stream like this one, from the first byte of its head to its last."""
    wire = b""
    while not wire.endswith(b"0\r\n\r\n"):
        wire += whole.socket.recv(65536)
    whole.close()
    return range(0, len(wire), STEP)


@pytest.mark.parametrize("way", ["native-post", "plain-post", "native-get", "native-after"])
def test_every_byte_may_be_the_last(way: str, upstream: DemoOllama, settings: Settings, serve: Serve) -> None:
    """What was read up to any byte, and what the server sends after the last id of that, are the whole answer."""
    upstream.answers["q"] = TEXT
    served = serve(create_app(settings))
    run = None if way.endswith("post") else start(served.url, question="q")

    @cache
    def body(last_id: str) -> bytes:
        return Client(served.url, "q", way, "key", run=run, last_id=last_id).ask().all().body

    whole = body("")
    for position in range(len(whole) + 1):
        decoder = sse.Decoder()
        before = decoder.feed(whole[:position])
        client = Client(served.url, "q", way, "key")
        client.applied = before + messages(body(decoder.last_id))
        check(client, TEXT)
    assert 1 == generations(upstream)


@pytest.mark.parametrize("way", ["native-get", "native-after", "plain-get"])
def test_a_replay_cut_at_every_byte_is_continued_exactly(
    way: str, upstream: DemoOllama, settings: Settings, serve: Serve
) -> None:
    """A GET of a run's events that is cut at any byte and repeated with the last id gives every event once."""
    upstream.answers["q"] = TEXT
    served = serve(create_app(settings))
    with Proxy(served.url) as proxy:
        run = start(served.url, question="q")
        path = "/stream-with-get?question=q" if way == "plain-get" else f"/runs/{run}/events"
        whole = Exchange(f"{served.url}{path}")
        positions = cuts(whole)
        before = generations(upstream)
        for position in positions:
            proxy.faults = forever(iter([Fault(cut_down=position, reset=position % 2 == 1)]))
            client = Client(proxy.url, "q", way, "key", run=run)
            client.run()
            check(client, TEXT)
        check_over(client)
        # A plain GET has no key: cut before its first id, it can only ask anew.
        assert (0 if way != "plain-get" else served_runs(served) - before) == generations(upstream) - before


def test_a_request_cut_anywhere_starts_one_answer(upstream: DemoOllama, settings: Settings, serve: Serve) -> None:
    """A POST that broke off on its way and is sent again with its key is answered once."""
    upstream.answers["q"] = TEXT
    served = serve(create_app(settings))
    with Proxy(served.url) as proxy:
        for position in range(0, 180, 7):
            proxy.faults = forever(iter([Fault(cut_up=position, reset=position % 2 == 1)]))
            client = Client(proxy.url, "q", "native-post", f"key-{position}")
            client.run()
            check(client, TEXT)
    assert len(range(0, 180, 7)) == generations(upstream)


def test_single_bytes_change_nothing(upstream: DemoOllama, settings: Settings, serve: Serve) -> None:
    """Every byte in a segment of its own, the bytes of an emoji too, is the same answer."""
    upstream.answers["q"] = TEXT
    served = serve(create_app(settings))
    with Proxy(served.url, repeat(Fault(single_bytes=True))) as proxy:
        for way in ("native-post", "plain-post", "native-get", "plain-get"):
            client = Client(proxy.url, "q", way, way)
            client.run()
            check(client, TEXT)


def test_streams_cut_at_random_while_they_run_are_continued_exactly(serve: Serve) -> None:
    """Runs that go on while their streams are cut several times, anywhere, lose nothing and are made once."""
    ways = ["native-post", "plain-post", "native-get", "native-after"]
    with DemoOllama(tokens_per_s=1000) as upstream:
        upstream.answers |= {"q": LONG}
        served = serve(create_app(Settings(ollama_url=upstream.url, demo="never", grace_s=20, hold_s=0.05)))
        dice = random.Random(7)
        with Proxy(served.url, random_faults(dice)) as proxy:

            def one(number: int) -> int:
                client = Client(proxy.url, "q", ways[number % len(ways)], f"key-{number}")
                client.run()
                check(client, LONG)
                return client.turns

            with ThreadPoolExecutor(PARALLEL) as pool:
                turns = list(pool.map(one, range(CUTS)))
        assert CUTS == generations(upstream)
        assert sum(turns) > 2 * CUTS
