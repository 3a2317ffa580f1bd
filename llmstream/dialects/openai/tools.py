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

    def to_tool(self) -> Message:
        """The tool as the core takes it."""
        return tool_of(self.function.name, self.function.description, self.function.parameters)


class CalledFunction(BaseModel):
    """The function that a call names, with its arguments as JSON text."""

    name: str
    arguments: str | dict[str, Any] | None = None


class Call(BaseModel):
    """A call that an earlier answer made."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


def chosen_tools(tools: Sequence[Message], choice: str | dict[str, Any] | None) -> tuple[Sequence[Message], bool]:
    """The tools that may be called, and True if one must be; raises `InvalidRequest` for another choice.

    choice: as chat completions have it, or as Responses do, where a function has its name beside its type.
    """
    match choice:
        case None | "auto":
            return tools, False
        case "none":
            return [], False
        case "required" | "any":
            return tools, True
        case {"allowed_tools": {"mode": "auto" | "required" as mode, "tools": list(allowed)}} | {
            "type": "allowed_tools",
            "mode": "auto" | "required" as mode,
            "tools": list(allowed),
        }:
            names, must_call = {_name(tool) for tool in allowed}, mode == "required"
        case _:
            names, must_call = {_name(choice)}, True
    return [tool for tool in tools if tool["function"]["name"] in names], must_call


def _name(tool: object) -> str:
    match tool:
        case {"function": {"name": str(name)}} | {"type": "function", "name": str(name)}:
            return name
    raise InvalidRequest("tool_choice is 'auto', 'none', 'required', or names functions.")
