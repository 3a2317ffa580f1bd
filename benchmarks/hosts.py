"""What choosing among several model hosts costs a question."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack

from benchmarks.report import table, target
from llmstream.demo_ollama import DemoOllama
from llmstream.ollama.hosts.host import Host
from llmstream.ollama.hosts.selection import HostTable, conversation_of
from llmstream.ollama.models import Ollama
from llmstream.settings import Settings

_BODY = {
    "model": "demo",
    "messages": [{"role": "system", "content": "Be brief. " * 100}, {"role": "user", "content": "Why?"}],
}


async def choice_us(urls: list[str], questions: int) -> float:
    """CPU of a choice among these hosts, in µs; what is known of them is refreshed meanwhile."""
    settings = Settings(demo="never")
    table = HostTable([Host(Ollama.of(settings, url)) for url in urls])
    await table.refresh()
    begun = time.thread_time()
    for _ in range(questions):
        name, hosts = await table.find_hosts("demo")
        conversation = conversation_of(name, _BODY)
        table.remember(conversation, table.choose(name, hosts, conversation))
    return (time.thread_time() - begun) / questions * 1e6


def run(*, quick: bool) -> None:
    """Best of several repeats."""
    repeats, questions = (3, 5_000) if quick else (9, 20_000)
    with ExitStack() as stack:
        urls = [stack.enter_context(DemoOllama(tokens_per_s=None)).url for _ in range(16)]
        best = {
            count: min(asyncio.run(choice_us(urls[:count], questions)) for _ in range(repeats)) for count in (2, 4, 16)
        }
    table("Choosing a host, µs of CPU a question", ["hosts", "µs"], list(best.items()))
    target("choice among 4 hosts", best[4], 50, "µs")
