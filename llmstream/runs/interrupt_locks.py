"""The questions of graphs to people, while an answer is on its way to them."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack

from llmstream.errors import InvalidRequest

Pause = tuple[str, str, str]  # the caller, the thread, and the id of the interrupt


class Answering:
    """The questions being answered, each by one run: a second answer would have the same tool carried out again."""

    def __init__(self) -> None:
        self._keys: dict[Pause, str | None] = {}

    def hold(self, asked: Collection[Pause], key: str | None) -> ExitStack:
        """Reserves these questions for one answer, until the returned stack is closed.

        key: of the request, which may be sent again: the log knows that it is the same run.
        Raises `InvalidRequest` where somebody else does already.
        """
        held = [each for each in asked if each in self._keys]
        if held and (key is None or any(self._keys[each] != key for each in held)):
            raise InvalidRequest("This thread is being answered already. Wait for the end of that run.")
        stack = ExitStack()
        for each in set(asked).difference(held):
            self._keys[each] = key
            stack.callback(self._keys.pop, each)
        return stack
