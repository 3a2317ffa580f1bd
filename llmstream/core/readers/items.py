"""Reads a chain whose items are its answer, as those of LangChain's own composites are."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables import Runnable

from llmstream.core.answer.documents import are_documents, documents_in
from llmstream.core.answer.emitter import Emitter
from llmstream.core.answer.finish_reasons import word_in
from llmstream.core.answer.message_order import Message
from llmstream.core.chain_part import ChainPart, outermost_step, parallel_keys
from llmstream.core.chains.graph_steps import whole_state
from llmstream.core.chains.inspection import answer_key, answering_step, final_parser, is_cumulative, last_steps
from llmstream.core.message_content import as_messages, messages_in_list, reasoning_of, text_of
from llmstream.core.readers.reader import Reader
from llmstream.events import json_value

# Under which key of a dict a chain puts its answer, and which keys only repeat its input.
ANSWER_KEYS = (
    "final_answer", "final_response", "final_output", "final_result", "final_report", "answer", "output", "result",
    "text", "content", "response", "generation", "output_text", "reply",
)  # fmt: skip
INPUT_KEYS = ("input", "question", "query", "messages", "history", "chat_history")
_WHOLE_EVERY_S = 0.2


class ItemsReader(Reader):
    """A reader of a chain's items: text and messages are the answer; objects are data, each told whole.

    The models inside tell their thinking, and how their answer ended; both count only for those whose text is shown.
    """

    def __init__(self, emitter: Emitter, chain: Runnable[Any, Any]) -> None:
        super().__init__(emitter, named=False)
        self._cumulative = is_cumulative(chain)  # each item replaces the one before, as JSON parsers yield them
        self._step = answering_step(chain)
        self._latest: Any = None  # such an item, not emitted yet
        self._emitted_at = 0.0
        self._data: dict[str, Any] = {}
        self._inputs: dict[str, Any] = {}  # under `INPUT_KEYS`, or as the chain was given them
        self._said: dict[str | None, Message] = {}  # by the key, or the id of the message, that they came under
        self._ids: dict[str, str | None] = {}  # from the id of a message to its key in `_said`
        self._models: list[ChainPart] = []
        self._texts: dict[ChainPart, list[str]] = {}
        self._thoughts: dict[ChainPart, str] = {}
        self._keys: set[str] = set()  # those of a parallel under which a model answers
        self._whole_message: BaseMessage | None = None  # of the last model
        self._parser = final_parser(chain)
        self._raw: list[BaseMessage] = []  # under "raw": of `with_structured_output(include_raw=True)`, as it seems
        self._has_parsed = False
        self._states: dict[str, list[BaseMessage]] = {}  # of graphs inside the chain, or of the input, by their key
        self._results: list[str] = []  # of tools, as long as nothing has been said after them
        self._is_text = all(isinstance(step, StrOutputParser) for step in last_steps(chain))
        # One of `ANSWER_KEYS`: the first in use, where the chain shows none; what other steps put beside it is data.
        self._answer_key, self._beside = answer_key(chain, ANSWER_KEYS)
        self._reached: list[str] = []  # the calls that are a part of the answer
        self._reached_unnamed = False  # some of them have no id of their model's

    # What the callbacks tell

    def model_said(self, part: ChainPart, text: str, reasoning: str) -> None:
        """Keeps a model's thinking until its text is shown; that of the only model which can answer is told at once."""
        if part not in self._texts:
            self._texts[part] = []
            self._models.append(part)
            self._keys.update(key for key in parallel_keys(part) if key not in self._beside)
        self._texts[part].append(text)
        if reasoning and not part.is_inner:
            step = outermost_step(part)
            if self._step == step:
                self._think(part, reasoning)
            elif not (self._step and 0 < step < self._step):  # what an earlier step thinks is its own affair
                self._thoughts[part] = self._thoughts.get(part, "") + reasoning

    def model_ended(self, part: ChainPart, message: BaseMessage | None) -> None:
        """Takes in a model's calls: the chain may carry them out, or make a part of its answer of them."""
        super().model_ended(part, message)
        if message is None:
            return
        if part not in self._texts:  # it was not streamed
            self.model_said(part, text_of(message), reasoning_of(message))
        if not part.is_inner:
            self._whole_message = message
            self.calls.ask(getattr(message, "tool_calls", ()))

    # What the chain yields

    def put(self, item: Any) -> None:
        """Emits the text, messages or data of an item."""
        if self._cumulative and not isinstance(item, str | BaseMessage):
            self._whole(item)
        elif isinstance(item, str):
            self._say(None, item)
        elif isinstance(item, BaseMessage):
            self._message(item)
        elif isinstance(item, Mapping) and isinstance(item.get("role"), str) and (said := as_messages([item])):
            self._message(said[0])
        elif isinstance(item, Mapping):
            whole_state(item)
            self._has_parsed |= "parsed" in item
            item = {key: value for key, value in item.items() if not self._hands_on(key, value)}
            self._answer_key = self._answer_key or next((key for key in ANSWER_KEYS if key in item), None)
            for key, value in item.items():
                self._field(str(key), value, "")
        elif documents_in(item):
            self.sources.add(self.sources.fresh_in(item))
        elif messages_in_list(item) and any(isinstance(each, AIMessage | ToolMessage) for each in item):
            self._states.setdefault("", []).extend(item)
        elif item is not None:
            self._add("item", item)

    def end(self) -> None:
        """Emits what was held back for the end of the chain. Raises the error of the chain's parser.

        While they stream, parsers take half an object for one, and leave out what they can't read.
        """
        if self._parser is not None and isinstance(self._whole_message, AIMessage):
            self._parser.parse_result([ChatGeneration(message=self._whole_message)])
        for message in () if self._has_parsed else self._raw:
            self._message(message, "raw")
        if not self._said:
            self._of_state()
        for text in () if "structured_response" in self._data else self._results:
            self.messages.tell(text)
        self.messages.finish()
        if self._latest is not None:
            self.data("output", self._latest)
        # Beside a text they repeat what was asked; where there is none, they may be all that the chain gives.
        for key, value in {**({} if self._said else self._inputs), **self._data}.items():
            self.data(key, value)
        text = "".join((*(message.text for message in self._said.values()), *self._results))
        shown = [part for part in self._models if (said := "".join(self._texts[part]).strip()) and said in text]
        outer = [part for part in self._models if not part.is_inner]
        self.shown = shown or outer[-1:]
        self.calls.leave(self._reached)
        if self._reached_unnamed:
            self.calls.leave(self.calls.unnamed)
        if self._is_text:  # what it leaves out of the model's message are calls that nobody has read
            self.calls.leave(self.calls.id_of(call) for call in getattr(self._whole_message, "tool_calls", ()))

    def _whole(self, item: Any) -> None:
        """Tells an item that holds all that came before: now and then, since each is sent whole, and the last one."""
        now = time.monotonic()
        if now - self._emitted_at < _WHOLE_EVERY_S:
            self._latest = item
            return
        self._latest, self._emitted_at = None, now
        self.data("output", item)

    def _message(self, message: BaseMessage, key: str | None = None) -> None:
        if isinstance(message, ToolMessage):
            self._results.append(text_of(message))
            return self.tool_message(message)
        self.ends.append(word_in(message.response_metadata))
        calls = [*getattr(message, "tool_calls", ()), *getattr(message, "tool_call_chunks", ())]
        self._reached += [str(call["id"]) for call in calls if call.get("id")]
        self._reached_unnamed |= any(call.get("name") and not call.get("id") for call in calls)
        if not self._models:  # else its callbacks told
            self.calls.ask(getattr(message, "tool_calls", ()))
            if reasoning := reasoning_of(message):
                self.messages.think(self._of(key), reasoning)
        if key is None and message.id is not None:  # the first one has no key, so that a plain answer has no names
            key = self._ids.setdefault(message.id, message.id if self._ids else None)
        text = text_of(message)
        is_whole = not isinstance(message, AIMessageChunk)
        if text and not (is_whole and key in self._said and text == self._said[key].text):  # its chunks said it
            self._say(key, text)

    def _hands_on(self, key: str, value: Any) -> bool:
        """True if a value is what the chain was given under its key; only where it is all, it is told."""
        given = self.given.get(key) if isinstance(self.given, Mapping) else None
        is_given = given is not None and (value is given or (isinstance(value, str) and value == given))
        if not is_given or key in (self._answer_key, *self._keys):
            return False
        self._inputs[key] = value
        return True

    def _field(self, key: str, value: Any, above: str) -> None:
        if are_documents(value):
            self.sources.add(self.sources.fresh_in(value))
        elif key == "messages" and (messages := as_messages(value)):
            self._states.setdefault(above, []).extend(messages)
        elif isinstance(value, Mapping) and messages_in_list(value.get("messages")):  # the state of a graph
            for name, written in whole_state(value).items():
                self._field(str(name), written, key)
        elif key == "raw" and isinstance(value, BaseMessage):
            self._raw.append(value)
        elif isinstance(value, BaseMessage) and key not in (*INPUT_KEYS, *self._beside):
            self._message(value, None if key == self._answer_key else key)
        elif isinstance(value, str) and (key == self._answer_key or key in self._keys):
            self._say(None if key == self._answer_key else key, value)
        elif key in INPUT_KEYS:
            self._inputs[key] = value
        elif key != "parsing_error" and value is not None:
            self._add(key, value)

    def _of_state(self) -> None:
        """Tells what graphs have added to their conversations, where nothing else was said."""
        for state in self._states.values():
            asked = [place for place, message in enumerate(state) if isinstance(message, HumanMessage)]
            for message in state[asked[-1] + 1 if asked else 0 :]:
                if isinstance(message, AIMessage | ToolMessage):
                    self._message(message)

    def _say(self, key: str | None, text: str) -> None:
        self._results.clear()
        for part, thoughts in list(self._thoughts.items()):
            # By its beginning: a later piece, such as a full stop, may stand in many texts.
            if text.strip() and "".join(self._texts[part]).lstrip().startswith(text.lstrip()):
                del self._thoughts[part]
                self.messages.think(self._of(key), thoughts)
        self.messages.say(self._of(key), text)

    def _think(self, part: ChainPart, reasoning: str) -> None:
        self._answer_key = self._answer_key or next((key for key in parallel_keys(part) if key in ANSWER_KEYS), None)
        keys = [key for key in parallel_keys(part) if key != self._answer_key]
        self.messages.think(self._of(keys[0] if keys else None), reasoning)

    def _of(self, key: str | None) -> Message:
        if key not in self._said:
            name = key if key in self._keys else None
            for message in self._said.values() if name is None else ():
                self.messages.end(message)  # one after the other, but for those of a parallel
            self._said[key] = self.messages.begin(name)
        return self._said[key]

    def _add(self, key: str, value: Any) -> None:
        """Joins pieces of an object that add up, such as lists; they are told as one, and count as they come."""
        self.emitter.count(len(str(json_value(value))))
        try:
            self._data[key] = self._data[key] + value if key in self._data else value
        except TypeError:
            self._data[key] = value
