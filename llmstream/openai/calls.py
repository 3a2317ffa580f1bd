"""Tool calls of OpenAI's stream, which come in pieces."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


class CallDeltas:
    """The tool calls of one answer, put together of their pieces."""

    def __init__(self) -> None:
        self._calls: list[dict[str, Any]] = []

    def __bool__(self) -> bool:
        """True once a piece has come."""
        return bool(self._calls)

    def add(self, pieces: Iterable[dict[str, Any]]) -> None:
        """Adds pieces to the calls that they belong to, by their index."""
        for piece in pieces:
            function = piece.get("function")
            fields: dict[str, Any] = function if isinstance(function, dict) else {}
            name, arguments = fields.get("name"), fields.get("arguments")
            call = self._call_of(piece.get("index"), piece.get("id"), is_named=bool(name))
            if isinstance(name, str) and name != call["function"]["name"]:  # some servers repeat it
                call["function"]["name"] += name
            if isinstance(arguments, str):
                call["function"]["arguments"] += arguments
            elif arguments is not None:  # some servers send an object
                call["function"]["arguments"] = json.dumps(arguments)

    def whole(self, *, cut: bool) -> list[dict[str, Any]]:
        """The calls; cut: the answer ended at a limit, so one whose arguments are not complete is left out."""
        return [call for call in self._calls if not cut or _is_json(call["function"]["arguments"])]

    def _call_of(self, index: object, id: object, *, is_named: bool) -> dict[str, Any]:
        """The call with this index; a new one for a name with another id: some servers say 0 for each."""
        fitting = (each for each in reversed(self._calls) if index is None or each["index"] == index)
        known: dict[str, Any] | None = next(fitting, None)
        if known is not None and (id == known["id"] or not (id and is_named)):
            return known
        place = index if known is None and isinstance(index, int) else len(self._calls)
        call = {"index": place, "id": id, "type": "function", "function": {"name": "", "arguments": ""}}
        self._calls.append(call)
        return call


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return not text
    return True
