"""instructor, in the modes that it has for servers of OpenAI's kind: demanded calls, JSON, and a schema."""

from typing import Literal

import instructor
from openai import OpenAI
from pydantic import BaseModel
from telling import DEMO, MODEL, REAL, failure, tell


class City(BaseModel):
    name: Literal["Paris"]


QUESTION = [{"role": "user", "content": "Name a city."}]


def city(mode: instructor.Mode, server: str = REAL, model: str = MODEL) -> str:
    client = instructor.from_openai(OpenAI(base_url=f"{server}/v1", api_key="unused", max_retries=0), mode=mode)
    return client.chat.completions.create(model=model, messages=QUESTION, response_model=City, max_retries=1).name


def streamed() -> list[str]:
    client = instructor.from_openai(OpenAI(base_url=f"{REAL}/v1", api_key="unused"))
    parts = client.chat.completions.create_partial(model=MODEL, messages=QUESTION, response_model=City)
    return [part.name for part in parts][-1:]


tell(
    structured=city(instructor.Mode.TOOLS),
    schema=city(instructor.Mode.JSON_SCHEMA),
    partial=streamed(),
    refused=failure(lambda: city(instructor.Mode.TOOLS, DEMO, "nobody")),
    broken=failure(lambda: city(instructor.Mode.TOOLS, DEMO, "demo:error-line")),
)
