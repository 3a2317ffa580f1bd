"""haystack, by OpenAI's protocol and by Ollama's."""

import json
from typing import Annotated, Literal

from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import tool
from haystack.utils import Secret
from haystack_integrations.components.generators.ollama import OllamaChatGenerator
from pydantic import BaseModel
from telling import DAY, DEMO, MODEL, REAL, SKY, WEATHER, failure, tell


class City(BaseModel):
    name: Literal["Paris"]


@tool
def get_weather(city: Annotated[str, "which one"]) -> str:
    """The weather in a city."""
    return DAY


def openai(server: str = REAL, model: str = MODEL, **options: object) -> OpenAIChatGenerator:
    key = Secret.from_token("unused")
    return OpenAIChatGenerator(model=model, api_base_url=f"{server}/v1", api_key=key, max_retries=0, **options)


def ollama(server: str = REAL, model: str = MODEL, **options: object) -> OllamaChatGenerator:
    return OllamaChatGenerator(model=model, url=f"{server}/ollama", **options)


def ask(generator: object, question: str = SKY) -> str:
    return generator.run([ChatMessage.from_user(question)])["replies"][0].text


def streamed(make: object, *where: str) -> list[str]:
    pieces = []
    whole = ask(make(*where, streaming_callback=lambda chunk: pieces.append(chunk.content)))
    assert whole == "".join(pieces), (whole, pieces)
    return [piece for piece in pieces if piece]


def tools(generator: object) -> str:
    return (
        Agent(chat_generator=generator, tools=[get_weather]).run([ChatMessage.from_user(WEATHER)])["messages"][-1].text
    )


SCHEMA = {"response_format": City}

tell(
    plain=ask(openai()),
    streamed=streamed(openai),
    structured=json.loads(ask(openai(generation_kwargs=SCHEMA), "Name a city."))["name"],
    tools=tools(openai()),
    refused=failure(lambda: ask(openai(DEMO, "nobody"))),
    broken=failure(lambda: streamed(openai, DEMO, "demo:error-line")),
    ollama_plain=ask(ollama()),
    ollama_streamed=streamed(ollama),
    ollama_structured=json.loads(ask(ollama(response_format=City.model_json_schema()), "Name a city."))["name"],
    ollama_tools=tools(ollama()),
    ollama_refused=failure(lambda: ask(ollama(DEMO, "nobody"))),
    ollama_broken=failure(lambda: streamed(ollama, DEMO, "demo:error-line")),
)
