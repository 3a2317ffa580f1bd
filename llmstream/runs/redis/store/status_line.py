"""A line on a store, for the person who is going to rely on it."""

from __future__ import annotations

import time

from llmstream.errors import StoreUnavailable
from llmstream.runs.redis.store.connection import Link
from llmstream.runs.redis.store.keys import Keys
from llmstream.runs.redis.store.start_check import check
from llmstream.settings import Settings


async def store_report(settings: Settings) -> str:
    """The server that answers, its round trip, its policy and the processes that share it, in one line.

    Raises `SettingsError` for a store that can't be used, and `StoreUnavailable`.
    """
    keys = Keys(settings.redis_prefix)
    url, timeout_s = settings.redis_url or "", settings.store_timeout_s
    link = Link(url, key=keys.nodes, name="llmstream-doctor", timeout_s=timeout_s)
    try:
        warning = await check(link, keys, "doctor")
        begun = time.perf_counter()
        await link.command("PING")
        taken_ms = 1000 * (time.perf_counter() - begun)
        report = f"redis {link.version} answers in {taken_ms:.1f} ms, {await _processes(link, keys)}"
        return f"{report}; {warning or 'maxmemory-policy is noeviction, as it should be'}"
    finally:
        await link.aclose()


async def _processes(link: Link, keys: Keys) -> str:
    try:
        count = len(await link.command("PUBSUB", "CHANNELS", keys.node("*")))
    except StoreUnavailable:  # a user without this right; nothing else needs it
        return "and does not tell which processes share it"
    return "shared by no process yet" if not count else f"shared by {count} process{'es' if count > 1 else ''}"
