"""The address of a Redis server, what may be told of it, and the connections that lead there."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import AskError, AuthenticationError, BusyLoadingError, ResponseError

from llmstream.errors import SettingsError
from llmstream.runs.redis.store.cluster import Address, ClusterConnections
from llmstream.runs.redis.store.sentinels import MasterConnections

_FORMS = (
    "redis://[user:password@]host[:port][/db], rediss:// (TLS), unix:///path, valkey://, "
    "redis+sentinel://[user:password@]host[:26379],host…/service[/db], "
    "or redis+cluster://[user:password@]host[:6379],host…"
)


def shown(url: str) -> str:
    """The address as it may stand in a log: without user, password and options."""
    scheme, _, rest = url.partition("://")
    address, _, options = rest.partition("?")
    if not address or "@" in options:  # nobody can tell where the password ends
        return scheme if rest else "redis"
    return f"{scheme}://{address.rpartition('@')[2]}"


def reason(error: BaseException) -> str:
    """The reason why the store can't be used, in a few words: no address, user or password."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, AskError):
        return "another node of the cluster has its names now, or soon"
    if isinstance(error, ResponseError | AuthenticationError | BusyLoadingError):
        return str(error)[:200]
    return f"{type(error).__name__.removesuffix('Error').lower() or 'no'} error"


def connections_to(url: str, *, key: str, name: str, timeout_s: float) -> Any:
    """The function that makes connections to the server at `url`; raises `SettingsError` where that is no address.

    key: a name that the server must have, for a cluster has several. Nothing is retried by the client library: every
    command of ours is repeated by those who know what it does.
    """
    options: dict[str, Any] = {
        "client_name": name,
        "protocol": 2,
        # Whoever sends has a deadline of its own. With this one, redis-py would send by `asyncio.wait_for`, which takes
        # a task for each command, and in Python 3.11 may swallow a cancellation, so that a task never ends.
        "socket_timeout": None,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
    }
    scheme, _, rest = url.partition("://")
    try:
        connections = _by_scheme(scheme.lower(), rest, key, options)
        connections.make_connection()  # connects to nothing, but knows the options that there are
    except (ValueError, TypeError):
        raise SettingsError(f"redis_url (LLMSTREAM_REDIS_URL) must be {_FORMS}.") from None
    return connections


def _by_scheme(scheme: str, rest: str, key: str, options: dict[str, Any]) -> Any:
    server, _, several = scheme.partition("+")
    server = {"valkey": "redis", "valkeys": "rediss"}.get(server, server)
    if not rest or (server not in ("redis", "rediss") and scheme != "unix"):
        raise ValueError
    if server != "unix":
        options["socket_keepalive"] = True
    if not several:
        return ConnectionPool(**{**options, **parse_url(f"{server}://{rest}")})
    # urlsplit takes one host only.
    several_hosts = r"(?:(?P<login>[^@/]*)@)?(?P<hosts>[^/@?]+)(?:/(?P<path>[^?]*))?(?:\?(?P<query>.*))?"
    if (match := re.fullmatch(several_hosts, rest)) is None or several not in ("sentinel", "cluster"):
        raise ValueError
    if several == "sentinel":
        return _by_sentinel(match, options, tls=server == "rediss")
    options |= _read(match["login"], dict(parse_qsl(match["query"] or "")))
    if match["path"] not in (None, "", "0") or options.pop("db", 0):
        raise ValueError  # a cluster has no other database
    return ClusterConnections(_addresses(match, 6379), key=key, tls=server == "rediss", options=options)


def _by_sentinel(match: re.Match[str], options: dict[str, Any], *, tls: bool) -> MasterConnections:
    service, _, database = (match["path"] or "").partition("/")
    if not service:
        raise ValueError
    query = dict(parse_qsl(match["query"] or ""))
    sentinel_options = {
        "socket_timeout": options["socket_connect_timeout"] / 4,
        "retry": options["retry"],
        "protocol": 2,
    }
    for name in ("username", "password"):
        if value := query.pop(f"sentinel_{name}", None):
            sentinel_options[name] = value
    options |= _read(match["login"], query)
    if tls:
        options["ssl"] = True
    sentinel = Sentinel(_addresses(match, 26379), sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]
    return MasterConnections(unquote(service), sentinel, db=int(database or 0), **options)


def _read(login: str | None, query: dict[str, str]) -> dict[str, Any]:
    """The options in an address, as redis-py understands them."""
    options: dict[str, Any] = {**parse_url(f"redis://h/?{urlencode(query)}")}
    del options["host"]
    user, _, password = (login or "").partition(":")
    return options | {name: unquote(value) for name, value in (("username", user), ("password", password)) if value}


def _addresses(match: re.Match[str], default_port: int) -> list[Address]:
    parts = [urlsplit(f"//{host}") for host in match["hosts"].split(",")]
    if not all(each.hostname for each in parts):
        raise ValueError
    return [(each.hostname or "", each.port or default_port) for each in parts]
