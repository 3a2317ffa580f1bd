"""Settings: the only reader of the environment.

Each field of `Settings` is the environment variable of the same name in capitals behind `LLMSTREAM_`; a list is
separated by commas. `OLLAMA_HOST` is read as Ollama's own tools read it.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from ipaddress import IPv6Address, ip_address
from itertools import pairwise
from typing import Any, Literal
from urllib.parse import urlsplit

from llmstream.errors import SettingsError

DEFAULT_OLLAMA_URL = "http://127.0.0.1:11434"
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
SAMPLING_OPTIONS = (
    "temperature", "num_predict", "seed", "stop", "top_k", "top_p", "min_p", "typical_p", "repeat_last_n",
    "repeat_penalty", "presence_penalty", "frequency_penalty", "mirostat", "mirostat_eta", "mirostat_tau",
)  # fmt: skip

Thinking = bool | Literal["low", "medium", "high"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set, with its default.

    ollama_url: where Ollama is, as `http://host:port[/path]`, read from OLLAMA_HOST.
    ollama_api_key: what a server that wants one is sent as `Authorization: Bearer …`, read from OLLAMA_API_KEY.
    model: the model to use; None lets `ollama.choose_model` choose.
    allowed_models: what a client may ask for; empty means any pulled local model.
    allowed_options: which options a client may set, by Ollama's names.
    system_prompt, temperature, num_ctx, thinking: what the default chain sends beside the question.
    connect_timeout_s, first_token_timeout_s, token_timeout_s: how long Ollama may take, in seconds.
    heartbeat_s, hold_s, send_timeout_s: of an HTTP stream, in seconds: a comment after silence, how long headers wait
        for a real status, how long a client may read nothing.
    request_timeout_s: how long a request may take to come whole, in seconds; a large body gets more with what comes.
    grace_s: how long a run goes on unwatched; max_unwatched_s: the same for a run that continues by choice.
    replay_s: how long an ended run can be read again.
    max_run_events, max_run_bytes, max_run_s, max_log_bytes: limits of one run and of all logs.
    max_body_bytes, max_question_bytes: limits of a request.
    max_active_runs, max_queued_runs: generations at once, and how many more may wait.
    max_caller_runs: runs one caller may have at once; 0 means no limit of its own.
    drain_s: how long runs may go on after a request to shut down.
    allowed_hosts, allowed_origins, token: who may come in; loopback names and local origins, no token.
    redis_url: the store that several processes share; None keeps all runs in this one's memory.
    redis_prefix: what all names in that store begin with.
    lease_s: how long a process that shows no sign of life is waited for, in seconds.
    store_timeout_s: how long the store may take to answer, in seconds.
    demo: whether commands and apps start the demo Ollama where no Ollama answers: auto, never or always.
    """

    # Kept out of the repr, so that no log or traceback shows the password that an address may hold.
    ollama_url: str = field(default=DEFAULT_OLLAMA_URL, repr=False)
    ollama_api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    allowed_models: tuple[str, ...] = ()
    allowed_options: tuple[str, ...] = SAMPLING_OPTIONS
    system_prompt: str | None = None
    temperature: float | None = None
    num_ctx: int | None = None
    thinking: Thinking = False
    connect_timeout_s: float = 5
    first_token_timeout_s: float = 300
    token_timeout_s: float = 60
    heartbeat_s: float = 15
    hold_s: float = 1
    send_timeout_s: float = 30
    request_timeout_s: float = 30
    grace_s: float = 5
    max_unwatched_s: float = 600
    replay_s: float = 600
    max_run_events: int = 200_000
    max_run_bytes: int = 16 * 2**20
    max_run_s: float = 3600
    max_log_bytes: int = 256 * 2**20
    max_body_bytes: int = 2**20
    max_question_bytes: int = 64 * 2**10
    max_active_runs: int = 16
    max_queued_runs: int = 64
    max_caller_runs: int = 0
    drain_s: float = 10
    allowed_hosts: tuple[str, ...] = LOOPBACK_HOSTS
    allowed_origins: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)
    redis_prefix: str = "llmstream"
    lease_s: float = 6
    store_timeout_s: float = 2
    demo: Literal["auto", "never", "always"] = "auto"

    def __post_init__(self) -> None:
        for each in fields(self):
            _check_number(each.name, getattr(self, each.name))
        if self.token is not None and not self.token.strip():
            raise SettingsError(
                "token is empty, which would let everybody in. Leave it out (LLMSTREAM_TOKEN unset, None) for that, or "
                "set a secret: `openssl rand -hex 16` makes one."
            )
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise SettingsError(
                "token (LLMSTREAM_TOKEN) holds what no header can carry: it takes printable ASCII characters, and no "
                "space at its ends. `openssl rand -hex 16` makes one."
            )
        if not _PREFIX.fullmatch(self.redis_prefix):
            raise SettingsError(
                "redis_prefix (LLMSTREAM_REDIS_PREFIX) takes 1 to 64 small letters, digits, '_', '.' and '-', "
                f"got {self.redis_prefix!r}."
            )
        # What people write becomes what a browser sends.
        object.__setattr__(self, "allowed_hosts", tuple(_host(text) for text in self.allowed_hosts))
        object.__setattr__(self, "allowed_origins", tuple(_origin(text) for text in self.allowed_origins))

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **changes: Any) -> Settings:
        """The settings of the environment, with `changes` over them; a change of None is no change.

        Raises `SettingsError` naming the variable, what it takes and what it held.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {"ollama_url": parse_ollama_host(environ.get("OLLAMA_HOST", ""))}
        if key := environ.get("OLLAMA_API_KEY", "").strip():
            values["ollama_api_key"] = key
        for each in fields(cls):
            text = environ.get(f"LLMSTREAM_{each.name.upper()}", "").strip()
            if text:
                values[each.name] = _parse(each, text)
        for override in _overrides:
            values |= override
        values |= {name: value for name, value in changes.items() if value is not None}
        return cls(**values)

    def change(self, **changes: Any) -> Settings:
        """A copy with these fields changed."""
        return replace(self, **changes)


_POSITIVE = (
    "connect_timeout_s", "first_token_timeout_s", "token_timeout_s", "heartbeat_s", "send_timeout_s",
    "request_timeout_s", "max_run_events", "max_run_bytes", "max_run_s", "max_log_bytes", "max_body_bytes",
    "max_question_bytes", "max_active_runs", "lease_s", "store_timeout_s",
)  # fmt: skip

# A name or an address, in lower case, and a port.
HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?")
# What stands behind `Authorization: Bearer`.
_TOKEN = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_ORIGIN = re.compile(rf"(?P<origin>[a-z][a-z0-9+.-]*://{HOST.pattern})/?")

_PREFIX = re.compile(r"[a-z0-9_.-]{1,64}")

_overrides: list[dict[str, Any]] = []


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, int | float):
        return
    if not math.isfinite(value):
        wanted = "a finite number"
    elif name in _POSITIVE and value <= 0:
        wanted = "above 0"
    elif value < 0:
        wanted = "0 or more"
    else:
        return
    raise SettingsError(f"{name} (LLMSTREAM_{name.upper()}) must be {wanted}, got {value}.")


def _host(text: str) -> str:
    """A name as it stands in `allowed_hosts`: any port is answered, so one that is given goes."""
    text = text.lower()
    match = HOST.fullmatch(f"[{text}]" if text.count(":") > 1 and "[" not in text else text)
    if match is None:
        raise SettingsError(
            f"allowed_hosts (LLMSTREAM_ALLOWED_HOSTS) takes exact names such as chat.example.com, got {text!r}."
        )
    return match["name"]


def _origin(text: str) -> str:
    """An origin as a browser sends it: no slash at the end, no port that goes without saying."""
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        raise SettingsError(
            "allowed_origins (LLMSTREAM_ALLOWED_ORIGINS) takes exact origins such as https://chat.example.com, "
            f"without a path, got {text!r}."
        )
    return without_default_port(match["origin"])


def worker_count() -> int:
    """How many processes the server was told to start: `WEB_CONCURRENCY`, or `--workers` of uvicorn and gunicorn."""
    words = [*sys.argv[1:], ""]
    said = [os.environ.get("WEB_CONCURRENCY", "")]
    for word, following in pairwise(words):
        name, _, value = word.partition("=")
        if name in ("--workers", "-w"):
            said.append(value or following)
    return max((int(text) for text in said if text.isdecimal()), default=1)


def without_default_port(origin: str) -> str:
    """An origin without the port that its scheme has anyway."""
    port = {"http": ":80", "https": ":443"}.get(origin.partition(":")[0])
    return origin.removesuffix(port) if port else origin


def unknown_variables() -> list[str]:
    """The variables of the environment that look like settings and are none."""
    known = {f"LLMSTREAM_{each.name.upper()}" for each in fields(Settings)}
    given = (name for name, value in os.environ.items() if name.startswith("LLMSTREAM_") and value)
    return sorted(name for name in given if name not in known and "_TEST_" not in name)


def misspelled(variable: str) -> str:
    """What is told of a variable that is none of ours."""
    return f"{variable} is no setting of llmstream; is it misspelled?"


@contextmanager
def override(**values: Any) -> Iterator[None]:
    """What `Settings.load()` gives everywhere in this process while the block runs, over the environment."""
    _overrides.append(values)
    try:
        yield
    finally:
        _overrides.remove(values)


@contextmanager
def plain_ollama_host() -> Iterator[None]:
    """While the `ollama` package is imported: it makes a client of OLLAMA_HOST at once, and fails on some of its forms.

    Raises `SettingsError` where nothing can be made of OLLAMA_HOST.
    """
    given = os.environ.get("OLLAMA_HOST")
    if not given:
        yield
        return
    os.environ["OLLAMA_HOST"] = parse_ollama_host(given)
    try:
        yield
    finally:
        os.environ["OLLAMA_HOST"] = given


def _parse(each: Field[Any], text: str) -> Any:
    variable = f"LLMSTREAM_{each.name.upper()}"
    default = each.default
    if isinstance(default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if each.name == "ollama_url":
        return parse_ollama_host(text, variable=variable)
    if each.name == "thinking":
        return _choice(variable, text, {"true": True, "1": True, "false": False, "0": False}, "low", "medium", "high")
    if each.name == "demo":
        return _choice(variable, text, {}, "auto", "never", "always")
    kind = _OPTIONAL_NUMBERS.get(each.name) or (type(default) if default is not MISSING else str)
    if kind in (int, float):
        try:
            # A time of 15 may be given as 0.5 too, whatever the default's own type is.
            return int(text) if kind is int and not each.name.endswith("_s") else float(text)
        except ValueError:
            raise SettingsError(f"{variable} takes a number, got {text!r}.") from None
    return text


_OPTIONAL_NUMBERS: Mapping[str, type] = {"temperature": float, "num_ctx": int}


def _choice(variable: str, text: str, special: Mapping[str, Any], *plain: str) -> Any:
    value = {**{name: name for name in plain}, **special}.get(text.lower())
    if value is None:
        raise SettingsError(f"{variable} takes one of {', '.join([*special, *plain])}, got {text!r}.")
    return value


def parse_ollama_host(text: str, *, variable: str = "OLLAMA_HOST") -> str:
    """OLLAMA_HOST as a base URL, by the rules of Ollama's own tools.

    Scheme, port and path may each be missing; `http` means port 80 and `https` 443 only where they are written. An
    address to listen on (0.0.0.0, [::]) becomes the loopback address one can connect to.
    Source: https://github.com/ollama/ollama/blob/main/envconfig/config.go (Host).
    """
    text = text.strip().strip("\"'").strip()
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest, port = "http", text, 11434
    elif scheme in ("http", "https"):
        port = 80 if scheme == "http" else 443
    else:
        raise SettingsError(f"{variable} takes an http or https address, got {text!r}.")
    if re.fullmatch(r"[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*", rest):
        rest = f"[{rest}]"  # a bare IPv6 address, which Ollama takes too
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        port = parts.port or port
        host = _connectable(parts.hostname or "127.0.0.1")
    except ValueError:
        raise SettingsError(f"{variable} takes host, host:port or a URL, got {text!r}.") from None
    user = f"{parts.username}:{parts.password or ''}@" if parts.username else ""
    return f"{scheme}://{user}{host}:{port}{parts.path.rstrip('/')}"


def _connectable(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "[::1]" if isinstance(address, IPv6Address) else "127.0.0.1"
    return f"[{host}]" if isinstance(address, IPv6Address) else host
