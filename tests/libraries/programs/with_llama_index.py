"""llama-index, by OpenAI's protocol (`OpenAILike`) and by Ollama's."""

import asyncio
from typing import Literal

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import LLM, ChatMessage
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel
from telling import DAY, DEMO, MODEL, REAL, SKY, WEATHER, failure, tell


class City(BaseModel):
    """A city."""

    name: Literal["Paris"]


def get_weather(city: str) -> str:
    """The weather in a city."""
    return DAY


def openai(server: str = REAL, model: str = MODEL) -> OpenAILike:
    kind = {"is_chat_model": True, "is_function_calling_model": True, "max_retries": 0}
    return OpenAILike(model=model, api_base=f"{server}/v1", api_key="unused", **kind)


def ollama(server: str = REAL, model: str = MODEL) -> Ollama:
    return Ollama(model=model, base_url=f"{server}/ollama", thinking=False)


def plain(llm: LLM) -> str:
    return llm.chat([ChatMessage(role="user", content=SKY)]).message.content


def streamed(llm: LLM) -> list[str]:
    return [part.delta for part in llm.stream_chat([ChatMessage(role="user", content=SKY)]) if part.delta]


def structured(llm: LLM) -> str:
    return llm.as_structured_llm(City).complete("Name a city.").raw.name


def tools(llm: LLM) -> str:
    async def run() -> str:
        agent = FunctionAgent(tools=[get_weather], llm=llm)
        return str(await agent.run(WEATHER))

    return asyncio.run(run())


tell(
    plain=plain(openai()),
    streamed=streamed(openai()),
    structured=structured(openai()),
    tools=tools(openai()),
    refused=failure(lambda: plain(openai(DEMO, "nobody"))),
    broken=failure(lambda: streamed(openai(DEMO, "demo:error-line"))),
    ollama_plain=plain(ollama()),
    ollama_streamed=streamed(ollama()),
    ollama_structured=structured(ollama()),
    ollama_tools=tools(ollama()),
    ollama_refused=failure(lambda: plain(ollama(DEMO, "nobody"))),
    ollama_broken=failure(lambda: streamed(ollama(DEMO, "demo:error-line"))),
)
