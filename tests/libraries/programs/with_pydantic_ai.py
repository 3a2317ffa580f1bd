"""pydantic-ai, whose structured answers are calls that it demands."""

import asyncio
from typing import Literal

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from telling import DAY, DEMO, MODEL, REAL, SKY, WEATHER, failure, tell


class City(BaseModel):
    name: Literal["Paris"]


def model(server: str, name: str) -> OpenAIChatModel:
    return OpenAIChatModel(name, provider=OpenAIProvider(base_url=f"{server}/v1", api_key="unused"))


real = model(REAL, MODEL)


def streamed(chosen: OpenAIChatModel) -> list[str]:
    async def pieces() -> list[str]:
        async with Agent(chosen).run_stream(SKY) as answer:
            return [piece async for piece in answer.stream_text(delta=True, debounce_by=None)]

    return asyncio.run(pieces())


agent = Agent(real)


@agent.tool_plain
def get_weather(city: str) -> str:
    """The weather in a city."""
    return DAY


tell(
    plain=Agent(real).run_sync(SKY).output,
    streamed=streamed(real),
    structured=Agent(real, output_type=City).run_sync("Name a city.").output.name,
    schema=Agent(real, output_type=NativeOutput(City)).run_sync("Name a city.").output.name,
    tools=agent.run_sync(WEATHER).output,
    refused=failure(lambda: Agent(model(DEMO, "nobody")).run_sync(SKY).output),
    broken=failure(lambda: streamed(model(DEMO, "demo:error-line"))),
)
