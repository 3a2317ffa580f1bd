"""Answers that a test gives the demo: by question, by pattern, by a function, and one for everything else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from llmstream.logger import logger
from llmstream.ollama_server.backend import ChatRequest, OllamaError, ToolCall

_TAKES = "a text, a Thought, a ToolCall, a Pause, a list of these, or a function from the request to one of them"

# How many questions a warning tells of, and how many characters of each.
_TOLD, _SHOWN = 5, 60


@dataclass(frozen=True, slots=True)
class Thought:
    """A text that the model thinks before it answers; left out where the request wants no thinking."""

    text: str


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which nothing is sent, in seconds."""

    seconds: float


AnswerPart = str | Thought | ToolCall | Pause
Script = AnswerPart | Sequence[AnswerPart] | Callable[[ChatRequest], "AnswerPart | Sequence[AnswerPart]"]


class Answers(dict[Any, Any]):
    """The scripts of questions: of exactly this question, or of each one in which a pattern is found.

    default: the script of all other questions; None leaves them to the demo.
    """

    default: Script | None = None

    def __setitem__(self, asked: str | re.Pattern[str], script: Script) -> None:
        if not isinstance(asked, str | re.Pattern):
            raise TypeError(f"A question is a text or a compiled pattern, got {asked!r}.")
        if not callable(script):
            _parts(script)
        super().__setitem__(asked, script)

    def replace(self, answers: Mapping[Any, Script]) -> None:
        """Takes these in the place of what there is; the default is kept where they have none."""
        given = dict(answers)  # which may be this object, after `|=`
        self.clear()
        for asked, script in given.items():
            self[asked] = script
        self.default = getattr(answers, "default", self.default)

    def find(self, request: ChatRequest, question: str) -> Sequence[AnswerPart] | None:
        """The parts to say now, None where nothing is scripted.

        Parts behind a tool call are for the request that brings its result. Raises `OllamaError` with one sentence
        where the script fails.
        """
        script = self._script(question)
        if script is None:
            return None
        try:
            parts = _parts(script(request) if callable(script) else script)
        except OllamaError:
            raise
        except Exception as error:
            raise _failed(question, f"failed: {type(error).__name__}: {error}") from error
        turns, turn = _turns(parts), _turn(request)
        if turn >= len(turns):
            raise _failed(question, "ends with a tool call: add what follows its result.")
        return turns[turn]

    def _script(self, question: str) -> Script | None:
        for asked in (question, question.strip()):  # `ollama run` adds a newline to a question from a pipe
            if asked in self:
                return self[asked]  # type: ignore[no-any-return]
        patterns = (asked for asked in self if isinstance(asked, re.Pattern))
        found = next((asked for asked in patterns if asked.search(question)), None)
        if found is None and self:
            known = ", ".join(_shown(asked) for asked in list(self)[:_TOLD]) + (", …" if len(self) > _TOLD else "")
            logger.warning(f"nothing is scripted for {_shown(question)}; scripted: {known}")
        return self.default if found is None else self[found]


def _shown(asked: str | re.Pattern[str]) -> str:
    text = repr(asked if isinstance(asked, str) else asked.pattern)
    return f"{text[:_SHOWN]}…" if len(text) > _SHOWN else text


def _failed(question: str, how: str) -> OllamaError:
    """The error of a script; told in the log, too, for who asks through an app may not see it."""
    told = f"The script of {question[:80]!r} {how}"
    logger.error(told)
    return OllamaError(told)


def after(parts: Sequence[AnswerPart], begun: str) -> Sequence[AnswerPart]:
    """The rest of an answer that the client has begun; all of it where the answer begins in another way."""
    if not begun or not "".join(part for part in parts if isinstance(part, str)).startswith(begun):
        return parts
    rest: list[AnswerPart] = []
    for part in parts:
        if begun and isinstance(part, str):
            part, begun = part[len(begun) :], begun[len(part) :]
        if not begun and part:
            rest.append(part)
    return rest


def _parts(script: object) -> Sequence[AnswerPart]:
    parts: list[AnswerPart] = []
    for part in script if isinstance(script, list | tuple) else [script]:
        if not isinstance(part, str | Thought | ToolCall | Pause):
            raise TypeError(f"An answer is {_TAKES}; got {part!r}.")
        parts.append(part)
    return parts


def _turns(parts: Sequence[AnswerPart]) -> list[list[AnswerPart]]:
    """The parts by request: calls in a row are made together and end one."""
    turns: list[list[AnswerPart]] = [[]]
    for is_call, group in groupby(parts, lambda part: isinstance(part, ToolCall)):
        if turns[-1] and isinstance(turns[-1][-1], ToolCall) and not is_call:
            turns.append([])
        turns[-1].extend(group)
    return turns


def _turn(request: ChatRequest) -> int:
    """The number of times that the model has called tools since the last question."""
    count = 0
    for message in reversed(request.messages):
        if message.get("role") == "user":
            break
        count += bool(message.get("tool_calls"))
    return count
