"""Whoever comes back gets exactly what they missed: streams cut at every byte, and cut at random again and again."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat

import pytest
from fastapi import FastAPI

from llmstream import sse
from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.faultkit import Exchange, Fault, Proxy, ask, start
from tests.support import Served

Serve = Callable[[FastAPI], Served]

# No \r and no newline at the beginning: those the plain dialect can't carry exactly.
TEXT = "Né\n\n 😀 ok\u2028.\n"
LONG = "".join(f"{n}: só\n\n 😀 wörd\x85, {n * n};\n" for n in range(12))
CUTS = int(os.environ.get("LLMSTREAM_TEST_CUTS", "250"))
# A cut in a stream that is made anew for it takes a generation, 8 ms: every byte of those is for `make soak`.
STEP = 1 if CUTS >= 10_000 else 7
PARALLEL = 8


class Client:
    """Comes back with the id of the last message it has applied, until it has the terminal one."""

    def __init__(self, url: str, question: str, way: str, key: str, **fields: str) -> None:
        self.url = url
        self.applied: list[sse.Message] = []
        self.plain = way.startswith("plain")
        self.way = way
        self.turns = 0
        self._question = question
        self._fields = fields
        self._key = key
        self.last_id = ""
        self._run: str | None = None

    def run(self) -> None:
        while not self.over:
            self.turns += 1
            assert self.turns < 200, f"no end in sight after {self.turns} connections"
            with self._ask() as exchange:
                while exchange.read():
                    pass
                assert exchange.status in (0, 200, 201), (exchange.status, exchange.body)
                self._apply(exchange)

    @property
    def over(self) -> bool:
        return bool(self.applied) and self.applied[-1].event in ("finished", "failed", "cancelled", "done")

    @property
    def text(self) -> str:
        if self.plain:
            return "".join(message.data for message in self.applied)
        return "".join(sse_text(message) for message in self.applied if message.event == "token")

    def _ask(self) -> Exchange:
        headers = {"last-event-id": self.last_id} if self.last_id else {}
        fields = {"question": self._question, "request_id": self._key, **self._fields}
        if self.way == "native-post":
            return Exchange(f"{self.url}/stream", "POST", headers=headers, body=json.dumps(fields).encode())
        if self.way == "plain-post":
            headers["idempotency-key"] = self._key
            return Exchange(f"{self.url}/stream-with-post", "POST", headers=headers, question=self._question)
        if self.way == "plain-get":
            return Exchange(f"{self.url}/stream-with-get?question={self._question}", headers=headers)
        if self._run is None:
            return Exchange(f"{self.url}/runs", "POST", body=json.dumps(fields).encode())
        after = f"?after={self.last_id.rpartition('-')[2] or 0}" if self.way == "native-after" else ""
        events = f"{self.url}/runs/{self._run}/events{after}"
        return Exchange(events, headers={} if after else headers)

    def _apply(self, exchange: Exchange) -> None:
        if exchange.status == 201 and exchange.complete:
            self._run = exchange.json["run_id"]
        elif exchange.status == 200:
            self.applied += exchange.messages
            self.last_id = exchange.last_id or self.last_id


def sse_text(message: sse.Message) -> str:
    """The text of a native token."""
    text: str = json.loads(message.data)["text"]
    return text


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


def generations(upstream: DemoOllama) -> int:
    """How many answers Ollama was asked for."""
    return sum(record.path == "/api/chat" for record in upstream.requests)


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
        positions = cuts(whole, 1 if way == "plain-post" else STEP)
        before = generations(upstream)
        for position in positions:
            proxy.faults = forever(iter([Fault(cut_down=position, reset=position % 2 == 1)]))
            client = Client(proxy.url, "q", way, f"key-{position}")
            client.run()
            check(client, TEXT)
        assert len(positions) == generations(upstream) - before


def cuts(whole: Exchange, step: int) -> list[int]:
    """Where to cut a stream like this one: anywhere in its body, less often in its head, which tells nothing."""
    wire = b""
    while not wire.endswith(b"0\r\n\r\n"):
        wire += whole.socket.recv(65536)
    whole.close()
    head = wire.index(b"\r\n\r\n") + 4
    return [*range(0, head, STEP), *range(head, len(wire), step)]


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
        positions = cuts(whole, 1 if way == "native-get" else STEP)
        before = generations(upstream)
        for position in positions:
            proxy.faults = forever(iter([Fault(cut_down=position, reset=position % 2 == 1)]))
            client = Client(proxy.url, "q", way, "key")
            client._run = run
            client.run()
            check(client, TEXT)
        check_over(client)
        # A plain GET has no key: cut before its first id, it can only ask anew.
        assert (0 if way != "plain-get" else served_runs(served) - before) == generations(upstream) - before


def served_runs(served: Served) -> int:
    """How many runs the server has ended, by its own count."""
    lines = ask(f"{served.url}/metrics").body.decode().splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("llmstream_runs_ended_total"))


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


def random_faults(dice: random.Random) -> Iterator[Fault]:
    """Cuts at random places of both directions, and now and then none; none before the connection stands."""
    while True:
        size = dice.choice([60, 400, 2_000, 8_000])
        if dice.random() < 0.3:
            yield Fault()
        elif dice.random() < 0.1:
            yield Fault(cut_up=dice.randrange(1, 250), reset=dice.random() < 0.5)
        else:
            yield Fault(cut_down=dice.randrange(1, size), reset=dice.random() < 0.5)
