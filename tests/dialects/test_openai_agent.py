"""An agent behind OpenAI's dialect, for clients that show one text: openai for Python, and what Open WebUI sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest
from fastapi import FastAPI

from llmstream.fastapi import create_app
from llmstream.settings import Settings
from llmstream.view.interrupts import ASK_ELSEWHERE
from tests.support.hard_agent import DRAFT, FAILURE, QUESTION, SAID, hard_agent
from tests.support.serving import Served

SEARCH = {"type": "function", "function": {"name": "search_web", "parameters": {"type": "object", "properties": {}}}}
OF_OPEN_WEBUI = {"stream_options": {"include_usage": True}, "tools": [SEARCH]}


@pytest.mark.parametrize("more", [{}, OF_OPEN_WEBUI])
@pytest.mark.parametrize("stream", [True, False])
def test_hard_agent(serve: Callable[[FastAPI], Served], stream: bool, more: dict[str, Any]) -> None:
    """The messages one behind the other, what is asked, and where that can be answered; no call is left for the client.

    A draft can't be taken back from a stream, which says so; the whole answer does not have it.
    """
    served = serve(create_app(Settings(demo="never"), chain=hard_agent()))
    asked: Any = {"messages": [{"role": "user", "content": QUESTION}], **more}
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        asked["model"] = client.models.list().data[0].id
        if stream:
            chunks = [each for each in client.chat.completions.create(**asked, stream=True) if each.choices]
            text = "".join(each.choices[0].delta.content or "" for each in chunks)
            reason, calls = chunks[-1].choices[0].finish_reason, [each.choices[0].delta.tool_calls for each in chunks]
        else:
            asked.pop("stream_options", None)
            (choice,) = client.chat.completions.create(**asked).choices
            text, reason, calls = choice.message.content or "", choice.finish_reason, [choice.message.tool_calls]
    parts = text.split("\n\n")
    drafted = [DRAFT, "(The text above was taken back.)"]
    assert sorted([*SAID, *(drafted if stream else [])]) == sorted(parts[:-3])
    assert "\n\n".join(drafted) in text or not stream
    assert ["Send this mail?", "Decide: approve or edit or reject.", ASK_ELSEWHERE] == parts[-3:]
    assert FAILURE not in text
    assert ("stop", False) == (reason, any(calls))
