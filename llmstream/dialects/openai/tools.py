"""Tools in OpenAI's form, and which of them a request offers or demands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel

from llmstream.errors import InvalidRequest
from llmstream.http.parts import Message, tool_of


class Function(BaseModel):
    """A function that the model may call."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(BaseModel):
    """A tool; only functions are known."""

    type: Literal["function"]
    function: Function


class CalledFunction(BaseModel):
    """The function that a call names, with its arguments as JSON text."""

    name: str
    arguments: str | dict[str, Any] | None = None


class Call(BaseModel):
    """A call that an earlier answer made."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


def chosen_tools(tools: Sequence[Tool], choice: str | dict[str, Any] | None) -> tuple[list[Message], bool]:
    """The tools that may be called, and True if one must be; raises `InvalidRequest` for another choice."""
    names, must_call = {tool.function.name for tool in tools}, False
    match choice:
        case None | "auto":
            pass
        case "none":
            return [], False
        case "required" | "any":
            must_call = True
        case {"function": {"name": str(name)}}:
            names, must_call = {name}, True
        case {"allowed_tools": {"mode": "auto" | "required" as mode, "tools": list(allowed)}}:
            names, must_call = {_name(tool) for tool in allowed}, mode == "required"
        case _:
            raise InvalidRequest("tool_choice is 'auto', 'none', 'required', or names a function.")
    found = [tool.function for tool in tools if tool.function.name in names]
    if must_call and not found:
        raise InvalidRequest("tool_choice demands a call of a tool that the request does not have.")
    return [tool_of(each.name, each.description, each.parameters) for each in found], must_call


def _name(tool: object) -> str:
    match tool:
        case {"function": {"name": str(name)}}:
            return name
    raise InvalidRequest("tool_choice names the allowed tools as functions.")
