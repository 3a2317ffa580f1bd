"""Settings: every field from its variable, errors that name it, and OLLAMA_HOST as Ollama's own tools read it."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest

import llmstream
from llmstream.addresses import LOOPBACK_HOSTS
from llmstream.errors import SettingsError
from llmstream.settings import Settings, override

VARIABLES: dict[str, tuple[str, Any]] = {
    "ollama_url": ("http://10.0.0.1:1", "http://10.0.0.1:1"),
    "ollama_api_key": ("key", "key"),
    "model": ("llama3.2", "llama3.2"),
    "allowed_models": ("a, b:1 ,", ("a", "b:1")),
    "allowed_options": ("seed", ("seed",)),
    "system_prompt": ("Be brief, please.", "Be brief, please."),
    "temperature": ("0.5", 0.5),
    "num_ctx": ("4096", 4096),
    "thinking": ("high", "high"),
    "token": ("secret", "secret"),
    "allowed_hosts": ("chat.example.com,127.0.0.1", ("chat.example.com", "127.0.0.1")),
    "allowed_origins": ("https://chat.example.com", ("https://chat.example.com",)),
    "upstream": ("gpu:8000/v1", "http://gpu:8000/v1"),
    "upstream_key": ("secret", "secret"),
    "redis_url": ("redis://localhost", "redis://localhost"),
    "redis_prefix": ("chat-1", "chat-1"),
    "demo": ("Never", "never"),
    "free_stuck_models": ("1", True),
}


def load(**variables: str) -> Settings:
    """The settings of an environment that has only these variables."""
    return Settings.load(variables)


@pytest.mark.parametrize("name", [each.name for each in fields(Settings)])
def test_each_field_has_its_variable(name: str) -> None:
    """The variable is the field's name in capitals; numbers of seconds may have a fraction."""
    text, value = VARIABLES.get(name, ("0.5", 0.5) if name.endswith("_s") else ("7", 7))
    loaded = getattr(load(**{f"LLMSTREAM_{name.upper()}": f" {text} "}), name)

    assert (value, type(value)) == (loaded, type(loaded))


@pytest.mark.parametrize("name", [each.name for each in fields(Settings)])
def test_each_field_is_described(name: str) -> None:
    """The docstring, which is the reference, names every field."""
    assert name in (Settings.__doc__ or "")


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty environment gives the defaults, and an empty variable is none."""
    monkeypatch.delenv("OLLAMA_HOST")
    assert Settings() == load() == load(LLMSTREAM_MODEL="", LLMSTREAM_TOKEN_TIMEOUT_S="  ", OLLAMA_HOST="")


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("LLMSTREAM_TOKEN_TIMEOUT_S", "fast", "takes a number of seconds above 0, got 'fast'"),
        ("LLMSTREAM_MAX_ACTIVE_RUNS", "1.5", "takes a whole number above 0, got '1.5'"),
        ("LLMSTREAM_NUM_CTX", "x", "takes a whole number, 0 or more, got 'x'"),
        ("LLMSTREAM_TEMPERATURE", "warm", "takes a number, 0 or more, got 'warm'"),
        (
            "LLMSTREAM_THINKING",
            "hard",
            "takes one of true, 1, false, 0, minimal, low, medium, high, xhigh, max, got 'hard'",
        ),
        ("LLMSTREAM_DEMO", "yes", "takes one of auto, never, always, got 'yes'"),
        ("OLLAMA_HOST", "ftp://x", "takes an http or https address, got 'ftp://x'"),
        ("OLLAMA_HOST", "host:port", "takes host, host:port or a URL, got 'host:port'"),
        ("OLLAMA_HOST", "host:99999", "takes host, host:port or a URL, got 'host:99999'"),
        ("LLMSTREAM_OLLAMA_URL", "host:port", "takes host, host:port or a URL, got 'host:port'"),
        ("OLLAMA_HOST", "[::1", "takes host, host:port or a URL, got '[::1'"),
    ],
)
def test_errors_name_variable_and_value(variable: str, text: str, expected: str) -> None:
    """What can't be read is refused with the variable, what it takes and what it held."""
    with pytest.raises(SettingsError) as caught:
        load(**{variable: text})

    assert str(caught.value).startswith(f"{variable} {expected}")


@pytest.mark.parametrize(
    "changes",
    [
        {"token_timeout_s": 0},
        {"first_token_timeout_s": -1},
        {"max_active_runs": 0},
        {"max_run_bytes": 0},
        {"grace_s": -3},
        {"max_queued_runs": -1},
        {"heartbeat_s": math.nan},
        {"max_run_s": math.inf},
        {"temperature": -0.5},
        {"token": " "},
        {"allowed_hosts": ("*",)},
        {"allowed_hosts": ("*.example.com",)},
        {"allowed_hosts": ("https://chat.example.com",)},
        {"allowed_hosts": ("chat.example.com/llm",)},
        {"allowed_origins": ("*",)},
        {"allowed_origins": ("null",)},
        {"allowed_origins": ("chat.example.com",)},
        {"allowed_origins": ("https://chat.example.com/llm",)},
    ],
)
def test_values_that_make_no_sense(changes: dict[str, Any]) -> None:
    """A limit of nothing and a door for everybody are refused by the variable's name, however they are given."""
    [(name, value)] = changes.items()
    text = value[0] if isinstance(value, tuple) else str(value)
    variable = f"LLMSTREAM_{name.upper()}"

    with pytest.raises(SettingsError, match=variable):
        Settings(**changes)
    with pytest.raises(SettingsError, match=variable):
        Settings().change(**changes)
    if text.strip():  # a variable of nothing is none
        with pytest.raises(SettingsError, match=variable):
            load(**{variable: text})


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("heartbeat_s", "abc", "a number of seconds above 0, got 'abc'"),
        ("heartbeat_s", "5", "a number of seconds above 0, got '5'"),
        ("heartbeat_s", None, "a number of seconds above 0, got None"),
        ("max_active_runs", 1.5, "a whole number above 0, got 1.5"),
        ("max_queued_runs", True, "a whole number, 0 or more, got True"),
        ("allowed_hosts", "a,b", 'a tuple of texts, such as ("a", "b"), got \'a,b\''),
        ("allowed_models", ("a", 1), 'a tuple of texts, such as ("a", "b"), got (\'a\', 1)'),
        ("model", 7, "a text, got 7"),
        ("thinking", "hard", "one of true, 1, false, 0, minimal, low, medium, high, xhigh, max, got 'hard'"),
        ("demo", "perhaps", "one of auto, never, always, got 'perhaps'"),
        ("redis_prefix", "My chat", "1 to 64 of a-z, 0-9, _, . and -, got 'My chat'"),
        ("ollama_url", "host:port", "host, host:port or a URL, got 'host:port'"),
    ],
)
def test_values_of_another_type(name: str, value: Any, takes: str) -> None:
    """A value in code is checked as one in the environment is, and nothing is guessed of it."""
    for make in (Settings, Settings().change, Settings.load):
        if value is None and make == Settings.load:  # there it is no change
            continue
        with pytest.raises(SettingsError) as caught:
            make(**{name: value})

        assert f"{name} (LLMSTREAM_{name.upper()}) takes {takes}." == str(caught.value)


@pytest.mark.parametrize("value", [b"my-secret", "my-secret\n", "mein Schlüssel my-secret"])
def test_an_error_shows_no_secret(value: Any) -> None:
    """What can't be a token may be one all the same, so it is not told."""
    with pytest.raises(SettingsError, match="LLMSTREAM_TOKEN") as caught:
        Settings(token=value)

    assert "my-secret" not in str(caught.value)


def test_the_environment_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings made in code take from the environment what they are not given; None is a value as others are."""
    monkeypatch.setenv("LLMSTREAM_MODEL", "a")
    monkeypatch.setenv("LLMSTREAM_NUM_CTX", "5")
    monkeypatch.setenv("OLLAMA_HOST", "b:1")
    settings = Settings(system_prompt="Be brief.", num_ctx=None)
    monkeypatch.setenv("LLMSTREAM_MODEL", "c")

    assert ("Be brief.", "a", None) == (settings.system_prompt, settings.model, settings.num_ctx)
    assert "http://b:1" == settings.ollama_url
    assert "a" == settings.change(temperature=0).model


def test_what_is_given_needs_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that can't be read is no error where nobody reads it."""
    monkeypatch.setenv("LLMSTREAM_GRACE_S", "soon")

    assert 2 == Settings(grace_s=2).grace_s
    with pytest.raises(SettingsError, match="LLMSTREAM_GRACE_S"):
        Settings()


def test_an_empty_token_is_no_door() -> None:
    """It would open to everybody who sends none, so it is refused; an empty variable is no token."""
    with pytest.raises(SettingsError, match="LLMSTREAM_TOKEN unset"):
        Settings(token="")

    assert load(LLMSTREAM_TOKEN="").token is None


def test_hosts_and_origins_as_people_write_them() -> None:
    """A host's port, an origin's slash and the port that goes without saying make no difference."""
    settings = load(
        LLMSTREAM_ALLOWED_HOSTS="Chat.example.com:8443, ::1, [::1]:8000, 10.0.0.1:80",
        LLMSTREAM_ALLOWED_ORIGINS="https://App.example.com/, https://b.example:443, http://c.example:443, app://x",
    )

    assert ("chat.example.com", "[::1]", "[::1]", "10.0.0.1") == settings.allowed_hosts
    assert ("https://app.example.com", "https://b.example", "http://c.example:443", "app://x") == (
        settings.allowed_origins
    )


def test_secrets_are_not_in_the_repr() -> None:
    """A log or a traceback that shows the settings shows no secret."""
    ollama = Settings(token="my-token", ollama_url="http://ann:my-password@host:1", ollama_api_key="my-key")
    other = Settings(upstream="http://ann:my-password@gpu/v1", upstream_key="my-key")

    assert not [secret for secret in ("my-token", "my-password", "my-key") if secret in f"{ollama!r}{other!r}"]


def test_changes_go_before_the_environment() -> None:
    """A value given in code wins; None is no value."""
    settings = Settings.load({"LLMSTREAM_MODEL": "a", "LLMSTREAM_NUM_CTX": "5"}, model="b", num_ctx=None)

    assert ("b", 5) == (settings.model, settings.num_ctx)


def test_override() -> None:
    """What a block overrides holds in the block, over the environment, the inner block first."""
    environ = {"OLLAMA_HOST": "a", "LLMSTREAM_MODEL": "m"}
    with override(ollama_url="http://b:1", model=None):
        with override(ollama_url="http://c:1"):
            inner = Settings.load(environ)
            given = Settings(model="x")
        outer = Settings.load(environ)
    after = Settings.load(environ)

    assert ["http://c:1", "http://b:1", "http://a:11434"] == [each.ollama_url for each in (inner, outer, after)]
    assert ("http://c:1", "x") == (given.ollama_url, given.model)
    assert [None, None, "m"] == [each.model for each in (inner, outer, after)]


def test_demo_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the block of `demo` every call goes to the demo, whatever the environment says; a traceback names it."""
    with llmstream.demo(tokens_per_s=None) as server:
        server.answers["hi"] = "there"

        assert "there" == "".join(llmstream.stream("hi"))
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # in which errors name the fixture
    with pytest.raises(llmstream.LlmstreamError, match="not running") as caught:
        "".join(llmstream.stream("hi"))
    assert "with llmstream.demo():" in "".join(caught.value.__notes__)
    assert "with llmstream.demo():" not in str(caught.value)


def test_settings_are_values() -> None:
    """Settings can be compared and hashed, and can't be changed."""
    assert hash(Settings()) == hash(Settings())
    with pytest.raises(AttributeError):
        Settings().model = "x"  # type: ignore[misc]
    assert ("localhost", "127.0.0.1", "[::1]") == LOOPBACK_HOSTS
