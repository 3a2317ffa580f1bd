"""An answer that has to be a tool call: the model writes it as JSON of the tools' schemas, and it is told as a call.

So a model that can't call tools can be made to, and one that can does not answer in words instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llmstream.errors import InvalidRequest, UpstreamError
from llmstream.events import Event, FinishReason, Token


class DemandedCall:
    """A call of one of these tools, each as `{"type": "function", "function": {…}}`; one for each run."""

    def __init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        self._functions = {str(tool["function"]["name"]): tool["function"] for tool in tools}
        self._text: list[str] = []

    @property
    def format(self) -> dict[str, Any]:
        """The JSON schema of the answer: the parameters of the one tool, or name and arguments of one of several."""
        schemas = {name: dict(function["parameters"]) for name, function in self._functions.items()}
        if len(schemas) == 1:
            return next(iter(schemas.values()))
        definitions: dict[str, Any] = {}
        choices = []
        for number, (name, schema) in enumerate(schemas.items()):
            # A reference begins at the root of the whole schema, where two tools may have the same name for two things.
            moved = _renamed(schema, f"{number}.")
            definitions |= {f"{number}.{key}": value for key, value in moved.pop("$defs", {}).items()}
            properties = {"name": {"const": name}, "arguments": moved}
            choices.append({"type": "object", "properties": properties, "required": ["name", "arguments"]})
        return {"anyOf": choices, **({"$defs": definitions} if definitions else {})}

    @property
    def instruction(self) -> str:
        """The instruction that describes the tools to the model: a schema alone says nothing of what they are for."""
        shown = [
            {"name": name, "description": function.get("description", ""), "parameters": function["parameters"]}
            for name, function in self._functions.items()
        ]
        what = "the arguments of a call of this function" if len(shown) == 1 else "a call of one of these functions"
        return f"Answer with {what}, as JSON and nothing else:\n{json.dumps(shown, ensure_ascii=False)}"

    def take(self, events: list[Event]) -> list[Event]:
        """The events without the text, which is the call."""
        self._text += [event.text for event in events if isinstance(event, Token)]
        return [event for event in events if not isinstance(event, Token)]

    def call(self, reason: FinishReason) -> tuple[str, dict[str, Any]]:
        """The call's name and arguments; raises `LlmstreamError` where the model made none, by why it ended."""
        try:
            value = json.loads("".join(self._text))
        except (ValueError, RecursionError):
            value = None
        if value is None and reason == "length":
            raise InvalidRequest("The demanded call was cut at the limit of tokens. Raise max_tokens (num_predict).")
        if len(self._functions) == 1:
            value = {"name": next(iter(self._functions)), "arguments": value}
        match value:
            case {"name": str(name), "arguments": dict(arguments)} if name in self._functions:
                return name, arguments
        raise UpstreamError("The model did not make the call that was demanded. Ask again, or use a larger model.")


def _renamed(schema: Any, prefix: str) -> Any:
    """The schema with its references to definitions under names of their own."""
    if isinstance(schema, list):
        return [_renamed(each, prefix) for each in schema]
    if not isinstance(schema, dict):
        return schema
    renamed = {key: _renamed(value, prefix) for key, value in schema.items()}
    if isinstance(target := renamed.get("$ref"), str):
        renamed["$ref"] = target.replace("#/$defs/", f"#/$defs/{prefix}", 1)
    return renamed
