"""An answer that grows too large is ended while it grows, also where the chain's items come after it."""

import asyncio
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langgraph.graph import START, MessagesState, StateGraph

import llmstream
from llmstream.events import Failed
from llmstream.settings import Settings
from tests.support.scripted_model import AsyncModel


class Endless(AsyncModel):
    """Says one word for ever."""

    async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        while True:
            chunk = ChatGenerationChunk(message=AIMessageChunk(content="word "))
            if run_manager is not None:
                await run_manager.on_llm_new_token("word ", chunk=chunk)
            yield chunk
            await asyncio.sleep(0)


async def test_a_node_whose_model_never_ends_is_ended_at_the_limit_of_bytes() -> None:
    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await Endless().ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile()
    events = llmstream.astream_events("Go on.", chain=graph, settings=Settings(max_run_bytes=2000, max_run_s=30))
    *_, end = [event async for event in events]
    assert isinstance(end, Failed)
    assert "2000 bytes" in end.message
