"""Settings, read from the environment.

Each field of `Settings` is the environment variable of the same name in capitals behind `LLMSTREAM_`; a list is
separated by commas. `OLLAMA_HOST` is read as Ollama's own tools read it.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from llmstream.addresses import DEFAULT_OLLAMA_URL, LOOPBACK_HOSTS, parse_host, parse_ollama_host, parse_origin
from llmstream.errors import SettingsError
from llmstream.errors.nearest import check_names, nearest

SAMPLING_OPTIONS = (
    "temperature", "num_predict", "seed", "stop", "top_k", "top_p", "min_p", "typical_p", "repeat_last_n",
    "repeat_penalty", "presence_penalty", "frequency_penalty", "mirostat", "mirostat_eta", "mirostat_tau",
)  # fmt: skip

Thinking = bool | Literal["minimal", "low", "medium", "high", "xhigh", "max"]

# The types check a value, and their descriptions are what an error says that the field takes.
_MAX = sys.float_info.max  # so that infinity is refused
_Seconds = Annotated[float, Meta(gt=0, le=_MAX, description="a number of seconds above 0")]
_SecondsOrZero = Annotated[float, Meta(ge=0, le=_MAX, description="a number of seconds, 0 or more")]
_Positive = Annotated[int, Meta(gt=0, description="a whole number above 0")]
_Count = Annotated[int, Meta(ge=0, description="a whole number, 0 or more")]
_Names = Annotated[tuple[str, ...], Meta(description='a tuple of texts, such as ("a", "b")')]
_Temperature = Annotated[float, Meta(ge=0, le=_MAX, description="a number, 0 or more")]
_Switch = Annotated[bool, Meta(description="one of true, 1, false, 0")]
_Thinking = Annotated[Thinking, Meta(description="one of true, 1, false, 0, minimal, low, medium, high, xhigh, max")]
_Demo = Annotated[Literal["auto", "never", "always"], Meta(description="one of auto, never, always")]
_Prefix = Annotated[str, Meta(pattern=r"\A[a-z0-9_.-]{1,64}\Z", description="1 to 64 of a-z, 0-9, _, . and -")]
# What stands behind `Authorization: Bearer`.
_Token = Annotated[
    str,
    Meta(
        pattern=r"\A[!-~](?:[ -~]*[!-~])?\Z",
        description="a secret of printable ASCII characters, all that a header can carry, without a space at its ends: "
        "`openssl rand -hex 16` makes one. Leave it out (LLMSTREAM_TOKEN unset, None) to let everybody in",
    ),
]


def _reading_environment(cls: type[Settings]) -> type[Settings]:
    """Lets the constructor take from the environment what it is not given."""
    plain = cls.__init__

    @functools.wraps(plain)
    def init(self: Settings, **given: Any) -> None:
        check_names("Settings", given, VARIABLES)
        plain(self, **_filled(given, os.environ))

    cls.__init__ = init  # type: ignore[method-assign]
    return cls


@_reading_environment
@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set, with its default; what is not given is taken from the environment.

    Raises `SettingsError` naming the field, its variable, what it takes and what it was given.

    upstream: the address of the model server, or several of a kind, separated by commas; one that ends in /v1, or has
        no Ollama, is OpenAI-compatible. None for the Ollama at `ollama_url`, which becomes the first one otherwise.
    upstream_key: their key, sent as `Authorization: Bearer …`.
    ollama_url: where Ollama is, as `http://host:port[/path]`, read from OLLAMA_HOST.
    ollama_api_key: what a server that wants one is sent as `Authorization: Bearer …`, read from OLLAMA_API_KEY.
    model: the model to use; None lets `ollama.choose_model` choose.
    allowed_models: what a client may ask for; empty means any pulled local model.
    allowed_options: which options a client may set, by Ollama's names.
    system_prompt, temperature, num_ctx, thinking: what the default chain sends beside the question.
    connect_timeout_s, first_token_timeout_s, token_timeout_s: how long Ollama may take, in seconds.
    free_stuck_models: whether a loaded model that sent nothing for `first_token_timeout_s` is unloaded.
    heartbeat_s, hold_s, send_timeout_s: of an HTTP stream, in seconds: a comment after silence, how long headers wait
        for a real status, how long a client may read nothing.
    request_timeout_s: how long a request may take to come whole, in seconds; a large body gets more with what comes.
    grace_s: how long a run goes on unwatched; max_unwatched_s: the same for a run that continues by choice.
    max_run_events, max_run_bytes, max_run_s, max_log_bytes: limits of one run and of all logs.
    max_body_bytes, max_question_bytes: limits of a request; max_image_bytes: of its images on top, in base64.
    max_active_runs, max_queued_runs: generations at once, and how many more may wait.
    max_caller_runs: runs one caller may have at once; 0 means no limit of its own.
    replay_s: how long an ended run can be read again. drain_s: how long runs may go on after a request to shut down.
    allowed_hosts, allowed_origins, token: who may come in; loopback names and local origins, no token.
    redis_url: the store that several processes share; None keeps all runs in this one's memory.
    redis_prefix: what all names in that store begin with, in braces.
    lease_s, store_timeout_s: how long a silent process of several is waited for, and the store, in seconds.
    demo: whether commands and apps start the demo Ollama where no Ollama answers: auto, never or always.
    """

    # Kept out of the repr, so that no log or traceback shows the password that an address may hold.
    upstream: str | None = field(default=None, repr=False)
    upstream_key: str | None = field(default=None, repr=False)
    ollama_url: str = field(default=DEFAULT_OLLAMA_URL, repr=False)
    ollama_api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    allowed_models: _Names = ()
    allowed_options: _Names = SAMPLING_OPTIONS
    system_prompt: str | None = None
    temperature: _Temperature | None = None
    num_ctx: _Count | None = None
    thinking: _Thinking = False
    connect_timeout_s: _Seconds = 5
    first_token_timeout_s: _Seconds = 300
    token_timeout_s: _Seconds = 60
    free_stuck_models: _Switch = False
    heartbeat_s: _Seconds = 15
    hold_s: _SecondsOrZero = 1
    send_timeout_s: _Seconds = 30
    request_timeout_s: _Seconds = 30
    grace_s: _SecondsOrZero = 5
    max_unwatched_s: _SecondsOrZero = 600
    replay_s: _SecondsOrZero = 600
    max_run_events: _Positive = 200_000
    max_run_bytes: _Positive = 16 * 2**20
    max_run_s: _Seconds = 3600
    max_log_bytes: _Positive = 256 * 2**20
    max_body_bytes: _Positive = 2**20
    max_question_bytes: _Positive = 64 * 2**10
    max_image_bytes: _Positive = 20 * 2**20
    max_active_runs: _Positive = 16
    max_queued_runs: _Count = 64
    max_caller_runs: _Count = 0
    drain_s: _SecondsOrZero = 10
    allowed_hosts: _Names = LOOPBACK_HOSTS
    allowed_origins: _Names = ()
    token: _Token | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)
    redis_prefix: _Prefix = "llmstream"
    lease_s: _Seconds = 6
    store_timeout_s: _Seconds = 2
    demo: _Demo = "auto"

    def __post_init__(self) -> None:
        changed = {each.name: value for each in fields(self) if (value := getattr(self, each.name)) is not each.default}
        values = {name: _checked(name, value, f"{name} ({VARIABLES[name][0]})") for name, value in changed.items()}
        # What people write becomes what a browser sends, and what one can connect to.
        for name, parse in (("allowed_hosts", parse_host), ("allowed_origins", parse_origin)):
            if name in values:
                values[name] = tuple(map(parse, values[name]))
        if "ollama_url" in values:
            values["ollama_url"] = parse_ollama_host(values["ollama_url"], variable="ollama_url (LLMSTREAM_OLLAMA_URL)")
        if values.get("upstream"):
            values |= _told_apart(values["upstream"], self.upstream_key)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **changes: Any) -> Settings:
        """The settings of an environment, with `changes` over them; a change of None is no change."""
        given = {name: value for name, value in changes.items() if value is not None}
        return cls(**_filled(given, os.environ if environ is None else environ))

    def change(self, **changes: Any) -> Settings:
        """A copy with these fields changed; another `ollama_url` takes the place of an `upstream`."""
        if "ollama_url" in changes:
            changes = {"upstream": None, **changes}
        return replace(self, **changes)


_TYPES = get_type_hints(Settings, include_extras=True)
_SECRETS = {each.name for each in fields(Settings) if not each.repr}
overrides: list[dict[str, Any]] = []

# The variables that a field is read from; the first one that is set counts.
VARIABLES: dict[str, tuple[str, ...]] = {name: (f"LLMSTREAM_{name.upper()}",) for name in _TYPES}
VARIABLES["ollama_url"] += ("OLLAMA_HOST",)
VARIABLES["ollama_api_key"] += ("OLLAMA_API_KEY",)


def _filled(given: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Every field: as given, else as overridden, else as the environment has it, else its default."""
    values: dict[str, Any] = {}
    for said in (*overrides, given):
        values |= said
    if "ollama_url" in values:  # as given, so another server of the environment is not meant
        values.setdefault("upstream", None)
    for each in fields(Settings):
        if each.name not in values:
            values[each.name] = _read(each.name, environ, each.default)
    return values


def _read(name: str, environ: Mapping[str, str], default: Any) -> Any:
    for variable in VARIABLES[name]:
        if text := environ.get(variable, "").strip():
            if name == "ollama_url":
                return parse_ollama_host(text, variable=variable)
            if _TYPES[name] == _Names:
                return tuple(part.strip() for part in text.split(",") if part.strip())
            text = text.lower() if _TYPES[name] in (_Thinking, _Demo) else text
            return _checked(name, text, variable, strict=False)
    return default


def _told_apart(addresses: str, key: str | None) -> dict[str, Any]:
    """The fields that an `upstream` means: an address that does not end in /v1 may well be that of an Ollama."""
    variable = "upstream (LLMSTREAM_UPSTREAM)"
    urls = [parse_ollama_host(each.strip(), variable=variable) for each in addresses.split(",") if each.strip()]
    urls = list(dict.fromkeys(urls))
    if len({url.endswith("/v1") for url in urls}) > 1:
        raise SettingsError(
            f"{variable} takes addresses of one kind, got some with and some without /v1. Give all of them /v1 "
            "(OpenAI's API, which an Ollama has there, too), or none of them (Ollama's own)."
        )
    if not urls or urls[0].endswith("/v1"):
        return {"upstream": ",".join(urls) or None}
    return {"upstream": ",".join(urls), "ollama_url": urls[0], **({"ollama_api_key": key} if key else {})}


def _checked(name: str, value: object, label: str, *, strict: bool = True) -> Any:
    """The value as its field's type has it; raises `SettingsError`. Not strict: a text may be read as a number."""
    try:
        return msgspec.convert(value, _TYPES[name], strict=strict)
    except msgspec.ValidationError:
        parts = (_TYPES[name], *get_args(_TYPES[name]))  # one of them None, where that may be
        takes = [meta.description for part in parts for meta in getattr(part, "__metadata__", ())]
        got = "" if name in _SECRETS else f", got {value!r}"
        raise SettingsError(f"{label} takes {(takes or ['a text'])[0]}{got}.") from None


def unknown_variables() -> list[str]:
    """The variables of the environment that look like settings and are none."""
    given = {name for name, value in os.environ.items() if name.startswith("LLMSTREAM_") and value}
    return sorted(name for name in given.difference(*VARIABLES.values()) if "_TEST_" not in name)


def misspelled(variable: str) -> str:
    """The message about variables that look like settings and are none."""
    return f"{variable} is no setting of llmstream.{nearest(variable, sum(VARIABLES.values(), ()), cutoff=0.8)}"


@contextmanager
def override(**values: Any) -> Iterator[None]:
    """Has settings take these values instead of the environment, everywhere in this process, during the block."""
    overrides.append(values)
    try:
        yield
    finally:
        overrides.remove(values)
