"""openai-agents, by chat completions and by Responses."""

import asyncio
from typing import Literal

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent
from pydantic import BaseModel
from telling import DAY, DEMO, MODEL, REAL, SKY, WEATHER, failure, tell

set_tracing_disabled(True)


class City(BaseModel):
    name: Literal["Paris"]


@function_tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return DAY


def agent(server: str = REAL, name: str = MODEL, by: type = OpenAIChatCompletionsModel, **options: object) -> Agent:
    client = AsyncOpenAI(base_url=f"{server}/v1", api_key="unused", max_retries=0)
    return Agent(name="A", model=by(model=name, openai_client=client), **options)


def by_responses(*of: str, **options: object) -> Agent:
    return agent(*of, by=OpenAIResponsesModel, **options)


def ask(who: Agent, question: str = SKY) -> object:
    return Runner.run_sync(who, question).final_output


def streamed(who: Agent) -> list[str]:
    async def pieces() -> list[str]:
        events = Runner.run_streamed(who, SKY).stream_events()
        return [e.data.delta async for e in events if isinstance(getattr(e, "data", None), ResponseTextDeltaEvent)]

    return asyncio.run(pieces())


required = ModelSettings(tool_choice="required")
demanding = {"tools": [get_weather], "model_settings": required, "tool_use_behavior": "stop_on_first_tool"}

tell(
    plain=ask(agent()),
    streamed=streamed(agent()),
    structured=ask(agent(output_type=City), "Name a city.").name,
    tools=ask(agent(tools=[get_weather]), WEATHER),
    demanded=ask(agent(**demanding), WEATHER),
    refused=failure(lambda: ask(agent(DEMO, "nobody"))),
    broken=failure(lambda: streamed(agent(DEMO, "demo:error-line"))),
    responses_plain=ask(by_responses()),
    responses_streamed=streamed(by_responses()),
    responses_structured=ask(by_responses(output_type=City), "Name a city.").name,
    responses_tools=ask(by_responses(tools=[get_weather]), WEATHER),
    responses_demanded=ask(by_responses(**demanding), WEATHER),
    responses_refused=failure(lambda: ask(by_responses(DEMO, "nobody"))),
    responses_broken=failure(lambda: streamed(by_responses(DEMO, "demo:error-line"))),
)
