"""Every right that is needed on a store, tried before the first run needs it."""

from __future__ import annotations

from typing import Any

from llmstream.runs.redis.keys import Keys
from llmstream.runs.redis.scripts import SCRIPTS, WATCHED


def trial(keys: Keys, node: str) -> list[tuple[Any, ...]]:
    """Commands that need each right, of a run that nobody has; they leave nothing behind."""
    name = f"trial-{node}"
    meta, log, watchers = keys.meta(name), keys.log(name), keys.watchers(name)
    return [
        *(("SCRIPT", "LOAD", script.source) for script in SCRIPTS),
        ("EVALSHA", WATCHED.sha, 1, watchers),
        ("HSET", meta, "n", "0"),
        ("HGET", meta, "n"),
        ("HMGET", meta, "n"),
        ("PEXPIRE", meta, 1000),
        ("PTTL", meta),
        ("XADD", log, "1-1", "e", "[]"),
        ("XRANGE", log, "-", "+"),
        ("SADD", watchers, node),
        ("SREM", watchers, node),
        ("SCARD", watchers),
        ("SMEMBERS", watchers),
        ("DEL", meta, log, watchers),
        ("SET", meta, node, "PX", 1000),
        ("GET", meta),
        ("GETRANGE", meta, 0, 0),
        ("EXISTS", meta),
        ("DEL", meta),
        ("PUBLISH", meta, ""),
        ("SUBSCRIBE", meta),
        ("UNSUBSCRIBE", meta),
    ]
