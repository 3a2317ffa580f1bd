"""A client that comes back until it has the whole answer, and faults at random that make it come back."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from llmstream import sse
from tests.support.faultkit import Exchange, Fault, ask
from tests.support.serving import Served


class Client:
    """Comes back with the id of the last message it has applied, until it has the terminal one."""

    def __init__(
        self, url: str, question: str, way: str, key: str, *, run: str | None = None, last_id: str = "", **fields: str
    ) -> None:
        self.url = url
        self.applied: list[sse.Message] = []
        self.plain = way.startswith("plain")
        self.way = way
        self.turns = 0
        self._question = question
        self._fields = fields
        self._key = key
        self.last_id = last_id
        self._run = run

    def run(self) -> None:
        while not self.over:
            self.turns += 1
            assert self.turns < 200, f"no end in sight after {self.turns} connections"
            with self.ask() as exchange:
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

    def ask(self) -> Exchange:
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


def served_runs(served: Served) -> int:
    """How many runs the server has ended, by its own count."""
    lines = ask(f"{served.url}/metrics").body.decode().splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("llmstream_runs_ended_total"))


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
