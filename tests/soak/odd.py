"""Odd conditions: clients that read a byte a second, a clock that jumps, a sleep, an Ollama that is started anew."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from llmstream.demo_ollama import DemoOllama
from tests.support.command import Process, served
from tests.support.faultkit import ask, start
from tests.support.wall_clock import WallClock

SLEEP_S = 60
SLOW_READERS = 500


def events(url: str, model: str) -> list[dict[str, Any]]:
    """The events of one answer; its status where it has none."""
    with httpx.Client(timeout=120) as client:
        answer = client.post(f"{url}/stream", json={"question": "q", "model": model})
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines] or [{"type": str(answer.status_code)}]


def stream(url: str, model: str) -> list[str]:
    """The kinds of the events of one answer."""
    return [event["type"] for event in events(url, model)]


def memory_mb(server: Process) -> float:
    """The resident memory of the server."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def read_slowly(url: str, run: str, until: asyncio.Event) -> int:
    """How many bytes of a run's stream came to a client that reads one each second."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # as small as the system allows
    sock.setblocking(False)
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, (parts.hostname, parts.port))
    await loop.sock_sendall(sock, f"GET /runs/{run}/events HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    count = 0
    with sock:
        while not until.is_set() and await loop.sock_recv(sock, 1):
            count += 1
            await asyncio.sleep(1)
    return count


async def test_readers_of_a_byte_a_second() -> None:
    """500 of them on a long answer cost little memory, and others are served meanwhile."""
    with DemoOllama(tokens_per_s=None, scenarios=True) as upstream, served(upstream) as server:
        run = start(server.url, question="q", model="demo:tokens-20000")
        before = memory_mb(server)
        done = asyncio.Event()
        readers = [asyncio.create_task(read_slowly(server.url, run, done)) for _ in range(SLOW_READERS)]
        for _ in range(20):
            kinds = await asyncio.to_thread(stream, server.url, "demo:tokens-50")
            assert "finished" == kinds[-1]
            await asyncio.sleep(1)
        grown = memory_mb(server) - before
        done.set()
        counts = await asyncio.gather(*readers)
        assert min(counts) >= 10
        assert grown < SLOW_READERS * 0.2


@pytest.mark.skipif(os.name == "nt", reason="a library is preloaded")
def test_clock_that_jumps(tmp_path: Path) -> None:
    """A day forth and back in the middle of answers: each comes whole."""
    clock = WallClock(tmp_path)
    with (
        DemoOllama(tokens_per_s=None, scenarios=True) as upstream,
        ThreadPoolExecutor() as pool,
        clock.process("llmstream", "serve", "--port", "0", "--no-demo", OLLAMA_HOST=upstream.url) as server,
    ):
        assert server.stdout is not None
        (url,) = re.findall(r"listens on (http://\S+)", server.stdout.readline())
        pool.submit(server.stdout.read)
        answers = [pool.submit(stream, url, "demo:slow-0.05") for _ in range(8)]
        for offset, days in (("+1d", 1), ("-1d", -1), ("+0", 0)):
            clock.set(offset)
            time.sleep(0.5)
            first, *_, last = events(url, "demo:tokens-50")
            assert ("finished", days) == (last["type"], round((first["created_at"] - time.time()) / 86400))
        assert ["finished"] * 8 == [answer.result()[-1] for answer in answers]
        assert "finished" == stream(url, "demo:tokens-50")[-1]


def test_machine_that_sleeps() -> None:
    """A server that stood still for longer than any of its times goes on: no answer is lost, each is told its end."""
    times = {"token_timeout_s": "20", "first_token_timeout_s": "20", "send_timeout_s": "20", "heartbeat_s": "5"}
    with DemoOllama(tokens_per_s=50, scenarios=True) as upstream, served(upstream, **times) as server:
        with ThreadPoolExecutor() as pool:
            answers = [pool.submit(stream, server.url, "demo:tokens-300") for _ in range(8)]
            unwatched = start(server.url, question="q", model="demo:tokens-300")
            time.sleep(1)
            os.kill(server.process.pid, signal.SIGSTOP)
            time.sleep(SLEEP_S)
            os.kill(server.process.pid, signal.SIGCONT)
            assert ["finished"] * 8 == [answer.result()[-1] for answer in answers]
        assert "cancelled" == ask(f"{server.url}/runs/{unwatched}/events").types[-1]
        assert "finished" == stream(server.url, "demo:tokens-50")[-1]


def test_ollama_started_anew() -> None:
    """Ollama goes away while 20 wait, and comes back: each run has its end, and later ones answer."""
    with ExitStack() as first, ThreadPoolExecutor(20) as pool:
        upstream = first.enter_context(DemoOllama(tokens_per_s=20, scenarios=True))
        with served(upstream, max_active_runs="4") as server:
            answers = [pool.submit(stream, server.url, "demo:tokens-300") for _ in range(20)]
            while sum(record.path == "/api/chat" for record in upstream.requests) < 4:
                time.sleep(0.01)
            first.close()
            with DemoOllama(port=urlsplit(upstream.url).port or 0, tokens_per_s=None, scenarios=True):
                ends = Counter(answer.result()[-1] for answer in answers)
                assert set(ends) <= {"finished", "failed", "502"}
                assert ends["finished"] >= 12
                assert "finished" == stream(server.url, "demo:tokens-50")[-1]
