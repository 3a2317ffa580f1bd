"""The address of a Redis server, and the connections that lead there."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from llmstream.errors import SettingsError
from llmstream.runs.redis.sentinels import MasterConnections

_FORMS = (
    "redis://[user:password@]host[:port][/db], rediss:// (TLS), unix:///path, valkey://, "
    "or redis+sentinel://[user:password@]host[:26379],host…/service[/db]"
)


def shown(url: str) -> str:
    """The address as it may stand in a log: without user, password and options."""
    scheme, _, rest = url.partition("://")
    address, _, options = rest.partition("?")
    if not address or "@" in options:  # nobody can tell where the password ends
        return scheme if rest else "redis"
    return f"{scheme}://{address.rpartition('@')[2]}"


def connections_to(url: str, *, name: str, timeout_s: float) -> Any:
    """The function that makes connections to the server at `url`; raises `SettingsError` where that is no address.

    Nothing is retried by the client library: every command of ours is repeated by those who know what it does.
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
    scheme = {"valkey": "redis", "valkeys": "rediss"}.get(scheme.lower(), scheme.lower())
    try:
        connections = _by_scheme(scheme, rest, options)
        connections.make_connection()  # connects to nothing, but knows the options that there are
    except (ValueError, TypeError):
        raise SettingsError(f"redis_url (LLMSTREAM_REDIS_URL) must be {_FORMS}.") from None
    return connections


def _by_scheme(scheme: str, rest: str, options: dict[str, Any]) -> Any:
    if scheme in ("redis+sentinel", "rediss+sentinel", "valkey+sentinel", "valkeys+sentinel"):
        return _by_sentinel(f"{scheme}://{rest}", options)
    if scheme not in ("redis", "rediss", "unix") or not rest:
        raise ValueError
    if scheme != "unix":
        options["socket_keepalive"] = True
    return ConnectionPool(**{**options, **parse_url(f"{scheme}://{rest}")})


def _by_sentinel(url: str, options: dict[str, Any]) -> MasterConnections:
    scheme, _, rest = url.partition("://")
    # urlsplit takes one host only.
    match = re.fullmatch(r"(?:(?P<user>[^@/]*)@)?(?P<hosts>[^/@]+)/(?P<path>[^?]+)(?:\?(?P<query>.*))?", rest)
    if match is None:
        raise ValueError
    hosts = [_host(each) for each in match["hosts"].split(",")]
    service, _, database = match["path"].partition("/")
    query = dict(parse_qsl(match["query"] or ""))
    sentinel_options = {
        "socket_timeout": options["socket_connect_timeout"] / 4,
        "retry": options["retry"],
        "protocol": 2,
    }
    for name in ("username", "password"):
        if value := query.pop(f"sentinel_{name}", None):
            sentinel_options[name] = value
    # What else redis-py understands is read by its own rules.
    options |= parse_url("redis://h/?" + "&".join(f"{k}={v}" for k, v in query.items())) if query else {}
    options.pop("host", None)
    user, _, password = (match["user"] or "").partition(":")
    options |= {name: unquote(value) for name, value in (("username", user), ("password", password)) if value}
    if scheme.startswith(("rediss", "valkeys")):
        options["ssl"] = True
    sentinel = Sentinel(hosts, sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]
    return MasterConnections(unquote(service), sentinel, db=int(database or 0), socket_keepalive=True, **options)


def _host(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError
    return parts.hostname, parts.port or 26379
