"""The check of a store before the first run needs it: what it is, and every right that is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterCrossSlotError,
    ClusterDownError,
    NoPermissionError,
    RedisError,
)

from llmstream.errors import SettingsError, StoreUnavailable
from llmstream.runs.redis.store.address import reason
from llmstream.runs.redis.store.connection import Link
from llmstream.runs.redis.store.keys import Keys
from llmstream.runs.redis.store.scripts import SCRIPTS, WATCHED

_OF_CLUSTER = AskError, ClusterCrossSlotError, ClusterDownError


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
        ("PUBLISH", keys.node(name), ""),
        ("SUBSCRIBE", keys.node(name)),
        ("UNSUBSCRIBE", keys.node(name)),
    ]


async def reach(link: Link) -> None:
    """Raises `StoreUnavailable` for a store that is away: it may be the right one all the same."""
    try:
        async with asyncio.timeout(link.timeout_s):
            await link.try_all([("PING",)])
    except AuthenticationError:
        return  # it is there, and `check` tells what it said
    except (RedisError, OSError, TimeoutError) as error:
        link.lost(error)
        raise StoreUnavailable from None


async def check(link: Link, keys: Keys, node: str) -> str | None:
    """A warning about a store that will do, or None. Raises `SettingsError` for one that won't, as one sentence."""
    try:
        async with asyncio.timeout(link.timeout_s):
            *tried, more, less = await link.try_all([*trial(keys, node), ("INFO", "server"), ("INFO", "memory")])
        for answer in (*(each for each in tried if isinstance(each, NoPermissionError)), more, less):
            if isinstance(answer, Exception):
                raise answer
    except (RedisError, OSError, TimeoutError) as error:
        raise SettingsError(
            f"The store at {link.address} can't be used: {reason(error)}. See redis_url (LLMSTREAM_REDIS_URL)."
        ) from None
    info = dict(line.split(":", 1) for text in (more, less) for line in text.decode().splitlines() if ":" in line)
    _check_kind(link, tried, info)
    policy = info.get("maxmemory_policy", "noeviction")
    if policy.startswith("allkeys"):
        what = f"The store at {link.address} throws away answers under way (maxmemory-policy {policy})."
        raise SettingsError(f"{what} Set maxmemory-policy noeviction.")
    return f"maxmemory-policy is {policy}; noeviction keeps answers whole" if policy != "noeviction" else None


def _check_kind(link: Link, tried: Iterable[object], info: dict[str, str]) -> None:
    """Raises `SettingsError` for an old server, and for a cluster's where none is asked for; notes the version."""
    mode = info.get("server_mode") or info.get("redis_mode")  # as Valkey says, and Redis
    if not link.is_cluster and (mode == "cluster" or any(isinstance(each, _OF_CLUSTER) for each in tried)):
        raise SettingsError(
            f"The store at {link.address} is a node of a Redis Cluster. Set redis_url (LLMSTREAM_REDIS_URL) to "
            "redis+cluster://[user:password@]host[:6379],host…, which finds the node that has redis_prefix."
        )
    link.version = info.get("valkey_version") or info.get("redis_version", "")
    if tuple(map(int, info.get("redis_version", "0.0").split(".")[:2])) < (6, 2):
        raise SettingsError(f"The store at {link.address} is Redis {link.version}; llmstream needs 6.2 or later.")
