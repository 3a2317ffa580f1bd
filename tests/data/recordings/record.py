"""Records what an Ollama that has tiny-chat and tiny-plain answers, byte for byte: ``python record.py HOST:PORT``.

Each case becomes ``NAME.http`` (every byte from the socket, status line and chunk framing included) and a row of
``index.json``: the request, and of each piece the arrival time in ms since the request and the length in bytes.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
Case = tuple[str, str, Any]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALLED = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}],
}
RESULT = {"role": "tool", "tool_name": "get_weather", "content": "18 degrees and sunny"}
HI = [{"role": "user", "content": "hi"}]


def chat(question: str, *more: dict[str, Any], **fields: Any) -> Case:
    """A question to tiny-chat at temperature 0; ``more`` are messages after it, ``fields`` go into the request."""
    options = {"temperature": 0, **fields.pop("options", {})}
    messages = [{"role": "user", "content": question}, *more]
    return "POST", "/api/chat", {"model": "tiny-chat", "messages": messages, "options": options, **fields}


def refused(**fields: Any) -> Case:
    """A request that Ollama refuses."""
    return "POST", "/api/chat", {"messages": HI, **fields}


SKY, WEATHER_QUESTION = "What color is the sky?", "What is the weather in Paris?"
CUT = {"num_predict": 2, "num_ctx": 256}
SUM = "What is 7 times 8?"
CASES: dict[str, Case] = {
    "chat-first-loads-model": chat(SKY, think=False),
    "chat": chat(SKY, think=False),
    "chat-not-streamed": chat(SKY, think=False, stream=False),
    "chat-code": chat("Show me some code.", think=False),
    "chat-table": chat("Draw a table.", think=False),
    "chat-japanese": chat("Say hello in Japanese.", think=False),
    "chat-emoji": chat("Send me emoji.", think=False),
    "chat-long": chat("Tell me a very long story.", think=False),
    "chat-length": chat("Count to 20.", think=False, options={"num_predict": 5}),
    "chat-logprobs": chat(SKY, think=False, logprobs=True, top_logprobs=2, options={"num_predict": 3}),
    "chat-json-format": chat(SKY, think=False, format="json", options={"num_predict": 16}),
    "thinking": chat(SUM, think=True),
    "thinking-unset": chat(SUM),
    "thinking-not-streamed": chat(SUM, think=True, stream=False),
    "tool-call": chat(WEATHER_QUESTION, think=False, tools=[WEATHER]),
    "tool-calls-two": chat("What is the weather in Paris and in Rome?", think=False, tools=[WEATHER]),
    "thinking-then-tool-call": chat(WEATHER_QUESTION, think=True, tools=[WEATHER]),
    "text-then-tool-call": chat("Please check the weather in Paris.", think=False, tools=[WEATHER]),
    "tool-call-cut-by-length": chat(WEATHER_QUESTION, think=False, tools=[WEATHER], options={"num_predict": 6}),
    "tool-result": chat(WEATHER_QUESTION, CALLED, RESULT, think=False, tools=[WEATHER]),
    "prefill": chat("Count to 20.", {"role": "assistant", "content": "1, 2, 3, 4"}, think=False),
    "load": ("POST", "/api/chat", {"model": "tiny-chat", "messages": []}),
    "unload": ("POST", "/api/chat", {"model": "tiny-chat", "messages": [], "keep_alive": 0}),
    "generate": (
        "POST",
        "/api/generate",
        {"model": "tiny-chat", "prompt": SKY, "think": False, "options": {"temperature": 0}},
    ),
    "prompt-cut": chat("word " * 3000, think=False, options=CUT),
    "prompt-too-long": chat("word " * 3000, think=False, truncate=False, options=CUT),
    "error-no-such-model": refused(model="nope"),
    "error-no-model": refused(),
    "error-half-json": ("POST", "/api/chat", b'{"model":'),
    "error-no-thinking": refused(model="tiny-plain", think=True),
    "error-no-tools": refused(model="tiny-plain", tools=[WEATHER]),
    "error-option-type": refused(model="tiny-chat", options={"temperature": "hot"}),
    "tags": ("GET", "/api/tags", None),
    "ps": ("GET", "/api/ps", None),
    "show": ("POST", "/api/show", {"model": "tiny-chat"}),
    "show-no-such-model": ("POST", "/api/show", {"model": "nope"}),
    "version": ("GET", "/api/version", None),
    "root": ("GET", "/", None),
}


def record(host: str, port: int, case: Case) -> list[tuple[float, bytes]]:
    """The pieces of one answer as they arrived, each with its time in ms."""
    method, path, body = case
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    pieces = []
    with socket.create_connection((host, port), 60) as connection:
        connection.sendall(head.encode() + data)
        start = time.perf_counter()
        while piece := connection.recv(65536):
            pieces.append((round((time.perf_counter() - start) * 1000, 2), piece))
    return pieces


def main() -> None:
    """Records all cases."""
    host, port = sys.argv[1].split(":")
    rows = []
    for name, case in CASES.items():
        pieces = record(host, int(port), case)
        (HERE / f"{name}.http").write_bytes(b"".join(piece for _, piece in pieces))
        method, path, body = case
        shown = body.decode() if isinstance(body, bytes) else body
        arrived = [[ms, len(piece)] for ms, piece in pieces]
        row = {"method": method, "path": path, "body": shown, "pieces_ms_bytes": arrived}
        rows.append(f"{json.dumps(name)}: {json.dumps(row)}")
    (HERE / "index.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
