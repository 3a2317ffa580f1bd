"""litellm, by OpenAI's protocol and by Ollama's."""

import json
from typing import Literal

import litellm
from pydantic import BaseModel
from telling import DAY, DEMO, MODEL, REAL, SKY, WEATHER, failure, tell


class City(BaseModel):
    name: Literal["Paris"]


GET_WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def ask(messages: str | list, server: str = REAL, model: str = f"openai/{MODEL}", **options: object) -> object:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    openai = {"api_base": f"{server}/v1", "api_key": "unused"}
    where = openai if model.startswith("openai/") else {"api_base": f"{server}/ollama"}
    return litellm.completion(model=model, messages=messages, num_retries=0, max_retries=0, **where, **options)


def text(answer: object) -> str:
    return answer.choices[0].message.content


def city(**asked: str) -> str:
    return json.loads(text(ask("Name a city.", response_format=City, **asked)))["name"]


def streamed(**asked: str) -> list[str]:
    return [piece for chunk in ask(SKY, stream=True, **asked) if (piece := chunk.choices[0].delta.content)]


def tools(model: str) -> str:
    asked = {"role": "user", "content": WEATHER}
    message = ask([asked], model=model, tools=[GET_WEATHER]).choices[0].message
    (call,) = message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Paris"}, call
    result = {"role": "tool", "tool_call_id": call.id, "content": DAY}
    return text(ask([asked, message, result], model=model, tools=[GET_WEATHER]))


def demanded() -> str:
    choice = {"type": "function", "function": {"name": "get_weather"}}
    (call,) = ask("Name a city.", tools=[GET_WEATHER], tool_choice=choice).choices[0].message.tool_calls
    return call.function.name


OLLAMA = f"ollama_chat/{MODEL}"

tell(
    plain=text(ask(SKY)),
    streamed=streamed(),
    structured=city(),
    tools=tools(f"openai/{MODEL}"),
    demanded=demanded(),
    refused=failure(lambda: text(ask(SKY, DEMO, "openai/nobody"))),
    broken=failure(lambda: streamed(server=DEMO, model="openai/demo:error-line")),
    ollama_plain=text(ask(SKY, model=OLLAMA)),
    ollama_streamed=streamed(model=OLLAMA),
    ollama_structured=city(model=OLLAMA),
    ollama_tools=tools(OLLAMA),
    ollama_refused=failure(lambda: text(ask(SKY, DEMO, "ollama_chat/nobody"))),
    ollama_broken=failure(lambda: streamed(server=DEMO, model="ollama_chat/demo:error-line")),
)
