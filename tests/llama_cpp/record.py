"""Records what llama.cpp's servers answer, byte for byte: `python -m tests.llama_cpp.record`, after `make llama-cpp`.

Each case becomes `tests/data/recordings/llama-cpp/NAME.http`, every byte from the socket.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.data.recordings.record import RESULT, SKY, SUM, WEATHER, WEATHER_QUESTION
from tests.support import DATA
from tests.support.llama_cpp import LlamaCpp, find_llama_cpp

FOLDER = DATA / "recordings" / "llama-cpp"
CALL = {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
STORY = "Tell me a very long story."


def chat(question: str, *more: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The body of a question; more: messages behind it."""
    messages = [{"role": "user", "content": question}, *more]
    options = {"temperature": 0, "stream": True, "stream_options": {"include_usage": True}}
    off = {"chat_template_kwargs": {"enable_thinking": False}}
    return {"model": "tiny-chat", "messages": messages, **options, **off, **fields}


THINKING = {"enable_thinking": True}
OWN: dict[str, Any] = {
    "answer": chat(SKY),
    "thinking": chat(SUM, chat_template_kwargs=THINKING),
    "length": chat("Count to 20.", max_tokens=5),
    "emoji": chat("Send me emoji."),
    "tool-call": chat(WEATHER_QUESTION, tools=[WEATHER]),
    "tool-calls-two": chat("What is the weather in Paris and in Rome?", tools=[WEATHER]),
    "text-then-tool-call": chat("Please check the weather in Paris.", tools=[WEATHER]),
    "thinking-then-tool-call": chat(WEATHER_QUESTION, tools=[WEATHER], chat_template_kwargs=THINKING),
    "tool-call-cut-by-length": chat(WEATHER_QUESTION, tools=[WEATHER], max_tokens=12),
    "tool-result": chat(WEATHER_QUESTION, {"role": "assistant", "tool_calls": [CALL]}, {**RESULT, "tool_call_id": "1"}),
    "progress": chat("word " * 300, return_progress=True, max_tokens=1),
    "logprobs": chat(SKY, logprobs=True, top_logprobs=2, max_tokens=3),
    "prompt-too-long": chat("word " * 3000),
    "image": chat([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]),  # type: ignore[arg-type]
}
PYTHON: dict[str, Any] = {
    "python-answer": chat(SKY),
    "python-length": chat("Count to 20.", max_tokens=5),
    "python-prompt-too-long": chat("word " * 3000),
}


def pieces(url: str, body: Any, path: str = "/v1/chat/completions") -> Iterator[bytes]:
    """The bytes of an answer as they arrive."""
    parts, data = urlsplit(url), b"" if body is None else json.dumps(body).encode()
    head = (
        f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    )
    with socket.create_connection((str(parts.hostname), parts.port or 0), 60) as connection:
        connection.sendall(f"{head}Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode() + data)
        while piece := connection.recv(65536):
            yield piece


def whole(url: str, body: Any, path: str = "/v1/chat/completions") -> bytes:
    """All bytes of an answer."""
    return b"".join(pieces(url, body, path))


def given_up(url: str) -> bytes:
    """An answer that is given up, since somebody asks for the models meanwhile."""
    answer = pieces(url, chat(STORY))
    begun = next(answer) + next(answer)
    whole(url, None, "/v1/models")
    return begun + b"".join(answer)


def main() -> None:
    """Records all cases."""
    found = find_llama_cpp()
    if found is None:
        sys.exit("no llama.cpp: make llama-cpp")
    FOLDER.mkdir(exist_ok=True)
    answers: dict[str, bytes] = {}
    with LlamaCpp(found, "--batch-size", "64", "--ubatch-size", "64") as server:
        answers |= {name: whole(server.url, body) for name, body in OWN.items()}
        answers["models"] = whole(server.url, None, "/v1/models")
    with LlamaCpp(found, "--api-key", "right") as server:
        answers["no-key"] = whole(server.url, chat(SKY))
    with LlamaCpp(found, python=True) as server:
        answers |= {name: whole(server.url, body) for name, body in PYTHON.items()}
        answers["python-given-up"] = given_up(server.url)
    for name, answer in answers.items():
        (FOLDER / f"{name}.http").write_bytes(answer)
        print(f"{name}: {len(answer)} bytes, {json.dumps(answer[-70:].decode(errors='replace'))}")


if __name__ == "__main__":
    main()
