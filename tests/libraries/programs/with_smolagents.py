"""smolagents, whose agents demand a call at every step."""

import json
from typing import Literal

from pydantic import BaseModel
from smolagents import OpenAIModel, ToolCallingAgent, tool
from telling import DAY, DEMO, MODEL, REAL, SKY, WEATHER, failure, tell


class City(BaseModel):
    name: Literal["Paris"]


@tool
def get_weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: Which one.
    """
    return DAY


def model(server: str = REAL, name: str = MODEL) -> OpenAIModel:
    options = {"client_kwargs": {"max_retries": 0}, "retry": False}
    return OpenAIModel(name, api_base=f"{server}/v1", api_key="unused", **options)


def asked(text: str) -> list[dict]:
    return [{"role": "user", "content": [{"type": "text", "text": text}]}]


def streamed(chosen: OpenAIModel) -> list[str]:
    return [part.content for part in chosen.generate_stream(asked(SKY)) if part.content]


SCHEMA = {"type": "json_schema", "json_schema": {"name": "city", "schema": City.model_json_schema()}}
(call,) = model()(asked(WEATHER), tools_to_call_from=[get_weather]).tool_calls

tell(
    plain=model()(asked(SKY)).content,
    streamed=streamed(model()),
    structured=json.loads(model()(asked("Name a city."), response_format=SCHEMA).content)["name"],
    demanded=call.function.name,
    tools=ToolCallingAgent(tools=[get_weather], model=model(DEMO, "demo"), verbosity_level=0).run("The answer?"),
    refused=failure(lambda: model(DEMO, "nobody")(asked(SKY)).content),
    broken=failure(lambda: streamed(model(DEMO, "demo:error-line"))),
)
