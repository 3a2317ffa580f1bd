"""Where Ollama is, in every form in which its own tools take OLLAMA_HOST."""

from __future__ import annotations

import pytest

from llmstream.addresses import parse_ollama_host
from llmstream.ollama.endpoint import Endpoint
from llmstream.settings import Settings

# From https://github.com/ollama/ollama/blob/main/envconfig/config_test.go (TestHost), as an address to connect to.
GO = {
    "": "http://127.0.0.1:11434",
    "1.2.3.4": "http://1.2.3.4:11434",
    ":1234": "http://127.0.0.1:1234",
    "1.2.3.4:1234": "http://1.2.3.4:1234",
    "example.com": "http://example.com:11434",
    "example.com:1234": "http://example.com:1234",
    "[::1]": "http://[::1]:11434",
    "[::]:1337": "http://[::1]:1337",
    "[::1]:1337": "http://[::1]:1337",
    " 1.2.3.4 ": "http://1.2.3.4:11434",
    "\"1.2.3.4\"": "http://1.2.3.4:11434",
    "' 1.2.3.4 '": "http://1.2.3.4:11434",
    "http://1.2.3.4": "http://1.2.3.4:80",
    "http://1.2.3.4:4321": "http://1.2.3.4:4321",
    "https://1.2.3.4": "https://1.2.3.4:443",
    "https://1.2.3.4:4321": "https://1.2.3.4:4321",
    "https://example.com/ollama": "https://example.com:443/ollama",
    "example.com/ollama": "http://example.com:11434/ollama",
    "0.0.0.0": "http://127.0.0.1:11434",
    "0.0.0.0:1": "http://127.0.0.1:1",
    "::1": "http://[::1]:11434",
    "::": "http://[::1]:11434",
    "fe80::1": "http://[fe80::1]:11434",
}  # fmt: skip

# From https://github.com/ollama/ollama-python/blob/main/ollama/_client.py (_parse_host).
PYTHON = {
    "https://1.2.3.4": "https://1.2.3.4:443",
    ":56789": "http://127.0.0.1:56789",
    "1.2.3.4:56789": "http://1.2.3.4:56789",
    "http://1.2.3.4:56789": "http://1.2.3.4:56789",
    "https://1.2.3.4:56789": "https://1.2.3.4:56789",
    "example.com": "http://example.com:11434",
    "http://example.com": "http://example.com:80",
    "https://example.com": "https://example.com:443",
    "http://example.com:56789": "http://example.com:56789",
    "example.com/": "http://example.com:11434",
    "example.com:56789/": "http://example.com:56789",
    "example.com/path": "http://example.com:11434/path",
    "example.com:56789/path": "http://example.com:56789/path",
    "https://example.com:56789/path": "https://example.com:56789/path",
    "https://example.com:56789/path/": "https://example.com:56789/path",
    "[0001:002:003:0004::1]": "http://[0001:002:003:0004::1]:11434",
    "[0001:002:003:0004::1]:56789": "http://[0001:002:003:0004::1]:56789",
    "http://[0001:002:003:0004::1]": "http://[0001:002:003:0004::1]:80",
    "https://[0001:002:003:0004::1]:56789": "https://[0001:002:003:0004::1]:56789",
    "[0001:002:003:0004::1]/": "http://[0001:002:003:0004::1]:11434",
    "[0001:002:003:0004::1]:56789/path": "http://[0001:002:003:0004::1]:56789/path",
    "http://[0001:002:003:0004::1]:56789/path/": "http://[0001:002:003:0004::1]:56789/path",
}


@pytest.mark.parametrize(("text", "url"), [*GO.items(), *PYTHON.items()])
def test_ollama_host(text: str, url: str) -> None:
    """OLLAMA_HOST means what it means to Ollama's command and to its Python package."""
    assert url == parse_ollama_host(text) == Settings.load({"OLLAMA_HOST": text}).ollama_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://ann:secret@host:1", "http://ann:secret@host:1"),
        ("ann:secret@host", "http://ann:secret@host:11434"),
        ("https://ann@host/x", "https://ann:@host:443/x"),
        ("http://ann:a%40b@[::1]:1", "http://ann:a%40b@[::1]:1"),
    ],
)
def test_user_and_password(text: str, url: str) -> None:
    """A name and a password in the address are kept, and never shown."""
    made = parse_ollama_host(text)

    assert url == made
    assert "@" not in Endpoint(url=made).shown_url
    assert "ann" not in Endpoint(url=made).shown_url


def test_addresses_of_our_own_variable() -> None:
    """LLMSTREAM_OLLAMA_URL, the field's own variable, is read like OLLAMA_HOST and goes before it."""
    settings = Settings.load({"OLLAMA_HOST": "a", "LLMSTREAM_OLLAMA_URL": "b:1"})

    assert "http://b:1" == settings.ollama_url
