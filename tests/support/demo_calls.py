"""What a client sees of the demo Ollama."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from llmstream.demo_ollama import DemoOllama

README = """\
# llmstream

<!-- badges -->
[![tests](https://example.org/badge.svg)](https://example.org)

Streams the answers of LangChain chains on Ollama to people.

## Quick start

```python
import llmstream

for token in llmstream.stream("What color is the sky?"):  # a question
    print(token, end="")
```

```text
The sky is blue because air scatters blue light more than red light.
```

## Surfaces

### FastAPI

Mount the router in an app of your own:

```python
from fastapi import FastAPI
from llmstream.fastapi import create_router

app = FastAPI()
# not a heading
app.include_router(create_router(), prefix="/llm")
```

Every route has the prefix.

### Gradio

`create_chat()` makes a chat that you can launch or mount in an app.

## Timeouts

`LLMSTREAM_TOKEN_TIMEOUT_S` is the time between two tokens in seconds, 60 by default.
"""


Line = dict[str, Any]


def body_of(model: str, question: str = "hi", **fields: Any) -> str:
    """The body of a chat request."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": question}], **fields})


@contextmanager
def asked(server: DemoOllama, model: str, question: str = "hi", **fields: Any) -> Iterator[http.client.HTTPResponse]:
    """An answer whose head has been read; the connection closes with the block."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        connection.request("POST", "/api/chat", body_of(model, question, **fields))
        with connection.getresponse() as response:
            yield response


def chat(server: DemoOllama, model: str, question: str = "hi", **fields: Any) -> tuple[int, list[Line]]:
    """Status and lines of a whole answer."""
    with asked(server, model, question, **fields) as response:
        return response.status, [json.loads(line) for line in response]


def text(lines: list[Line], key: str = "content") -> str:
    """The joined text of the lines."""
    return "".join(line.get("message", {}).get(key, "") for line in lines)
