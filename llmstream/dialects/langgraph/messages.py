"""The messages of a thread in LangChain's form: what was said before a run, and what the run says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmstream.events import ToolCall, Usage

Message = dict[str, Any]


@dataclass(eq=False)
class SaidMessage:
    """One message of an answer; of: the chain's name for it.

    blocks: its texts and thoughts in their order, each a kind and its pieces. result: of a tool's message, the call's
    id and what it gave back. details: what is known of it once it is whole.
    """

    id: str
    of: str | None = None
    name: str | None = None
    blocks: list[tuple[str, list[str]]] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    result: tuple[str, str] | None = None
    details: Message = field(default_factory=dict)

    def told(self) -> Message:
        """The message as LangChain's clients read it."""
        name = {} if self.name is None else {"name": self.name}
        if self.result is not None:
            return {"type": "tool", "id": self.id, "tool_call_id": self.result[0], "content": self.result[1], **name}
        blocks = [block_of(kind, "".join(pieces)) for kind, pieces in self.blocks]
        is_text = all(block["type"] == "text" for block in blocks)
        content = "".join(block["text"] for block in blocks) if is_text else blocks
        message: Message = {"type": "ai", "id": self.id, "content": content, **name, **self.details}
        if self.calls:
            message["tool_calls"] = [call_of(call) for call in self.calls]
        return message


class Transcript:
    """A thread as it is: the messages before a run, and those of the run, each with an id of its own."""

    def __init__(self, run_id: str, before: Sequence[Mapping[str, Any]]) -> None:
        self._run_id = run_id
        self._before = [dict(message) for message in before]
        self._said: list[SaidMessage] = []
        self._count = 0
        calls = [call for message in self._before for call in message.get("tool_calls") or ()]
        self.calls = {call["id"]: ToolCall(call["id"], call["name"], call["args"]) for call in calls}

    def begin(self, of: str | None = None, name: str | None = None) -> SaidMessage:
        """Adds a message of the chain."""
        self._count += 1
        said = SaidMessage(f"{self._run_id}-{self._count}", of, name)
        self._said.append(said)
        return said

    def new_call_id(self) -> str:
        """An id for a call that has none of its own, the same in every replay."""
        return f"call_{self._run_id[:8]}_{len(self.calls) + 1}"

    def call(self, said: SaidMessage, call: ToolCall) -> None:
        """Adds a call that a message makes."""
        said.calls.append(call)
        self.calls[call.id] = call

    def change(self, call: ToolCall) -> bool:
        """Gives a call of an earlier run the arguments that a person has chosen; False where there is no such call."""
        known = False
        for message in self._before:
            calls = message.get("tool_calls") or ()
            if any(each["id"] == call.id for each in calls):
                known = True
                message["tool_calls"] = [call_of(call) if each["id"] == call.id else each for each in calls]
        if known:
            self.calls[call.id] = call
        return known

    def result(self, call: ToolCall, output: object) -> None:
        """Adds the result of a tool call."""
        text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
        of = next((each.of for each in self._said if any(call is made for made in each.calls)), None)
        self.begin(of, call.name).result = (call.id, text)

    def is_of_run(self, call: ToolCall) -> bool:
        """True for a call that was made in this run, and not in one before."""
        return any(call is each for said in self._said for each in said.calls)

    def has(self, of: str) -> bool:
        """True if a piece of this message of the chain was said."""
        return any(said.of == of for said in self._said)

    def withdraw(self, of: str) -> list[ToolCall]:
        """Drops what belongs to a message of the chain; the calls it made."""
        gone = [said for said in self._said if said.of == of]
        self._said = [said for said in self._said if said.of != of]
        answered = {said.result[0] for said in gone if said.result}
        return [call for said in gone for call in said.calls if call.id not in answered]

    def told(self) -> Iterator[Message]:
        """All messages, in their order."""
        yield from self._before
        yield from (said.told() for said in self._said if said.blocks or said.calls or said.result)


def block_of(kind: str, text: str) -> Message:
    """A content block: a text, or a thought (`reasoning`)."""
    return {"type": kind, kind: text}


def call_of(call: ToolCall) -> Message:
    """A call, as a message has it."""
    return {"type": "tool_call", "id": call.id, "name": call.name, "args": call.arguments}


def usage_of(usage: Usage) -> dict[str, int]:
    """LangChain's counts of tokens; a count that is not known is 0."""
    read, made = usage.input_tokens or 0, usage.output_tokens or 0
    return {"input_tokens": read, "output_tokens": made, "total_tokens": read + made}
