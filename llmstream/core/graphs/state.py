"""The contents of a graph's state: its messages, those of them that are new, and the text that is its answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from llmstream.core.answer.message_order import Message
from llmstream.core.answer.think_tags import without_thinking
from llmstream.core.message_content import as_messages, is_model_dump, messages_in, text_of
from llmstream.core.readers.drafts import KeptMessage, is_made_of
from llmstream.core.readers.items import ANSWER_KEYS

_TEXT_KEYS = ("answer", "text")
# Under these stands an answer, what one is made of by the last node, or what was asked.
_MATERIAL_KEYS = ("text", "content")


class NewMessages:
    """The messages that a run adds to a state; said: the ids of those that an earlier run has told."""

    def __init__(self, said: Collection[str]) -> None:
        self._known = set(said)
        self._known_texts: Counter[tuple[str, str]] = Counter()
        self._nodes: dict[str, str] = {}  # which node wrote a message

    def begin(self, state: Mapping[str, Any]) -> None:
        """Takes in the messages that are there before the run, which are not new."""
        for message in messages_in(state):
            if message.id:
                self._known.add(message.id)
            else:
                self._known_texts[message.type, text_of(message)] += 1

    def written(self, node: str, messages: Iterable[BaseMessage]) -> None:
        """Takes in messages that a node gave."""
        for message in messages:
            if message.id:
                self._nodes.setdefault(message.id, node)

    def of(self, state: Any, nodes: Collection[str], *, final: bool = False) -> list[KeptMessage]:
        """The messages that are the answer: AI messages, human ones of the graph's that say who speaks, and the
        results of tools that end it (`return_direct`).

        nodes: the only ones whose messages count; empty for all. final: whether nothing comes after this state, so that
        its last message is an answer whoever speaks; before that, it is a critique or a question for the next node.
        """
        new = self._new(state)
        last = _last_words(new, state) if final else len(new)
        kept = []
        for place, message in enumerate(new):
            node = self._nodes.get(message.id or "")
            text = text_of(message)
            is_said = isinstance(message, AIMessage) or (isinstance(message, HumanMessage) and message.name is not None)
            if (is_said or place >= last) and text and not _is_handoff(message) and (not nodes or node in nodes):
                kept.append(KeptMessage(message.id or f"#{place}", text, node or message.name))
        return kept

    def has_answer(self, state: Any) -> bool:
        """True if one of the new messages may be an answer: a text that asks for no tool."""
        said = [message for message in self._new(state) if isinstance(message, AIMessage) and text_of(message)]
        return any(not message.tool_calls and not _is_handoff(message) for message in said)

    def messages(self, state: Any) -> Iterable[BaseMessage]:
        """The messages that are new, whoever speaks; those that a function returns are."""
        return messages_in(state) if isinstance(state, BaseMessage | list) else self._new(state)

    def open_calls(self, state: Any) -> list[str]:
        """The ids of the calls that nothing in the graph has answered."""
        new = self._new(state)
        answered = {message.tool_call_id for message in new if isinstance(message, ToolMessage)}
        asked = [call for message in new if isinstance(message, AIMessage) for call in message.tool_calls]
        return [str(call["id"]) for call in asked if call["id"] not in answered]

    def _new(self, state: Any) -> list[BaseMessage]:
        known_texts = self._known_texts.copy()
        new = []
        for message in said_in(state):
            key = message.type, text_of(message)
            if message.id and message.id in self._known:
                continue
            if known_texts[key] > 0:
                known_texts[key] -= 1
                continue
            new.append(message)
        return new


def _is_handoff(message: BaseMessage) -> bool:
    return bool(message.response_metadata.get("__is_handoff_back"))


def _last_words(new: Sequence[BaseMessage], state: Any) -> int:
    """The place from which on messages are the answer whoever speaks: the last one, or the results of tools at the end.

    Those of a structured output only say that it was made.
    """
    place = len(new)
    while place > 0 and isinstance(new[place - 1], ToolMessage):
        place -= 1
    if place < len(new) and isinstance(state, Mapping) and state.get("structured_response") is not None:
        return len(new)
    return min(place, len(new) - 1)


class Judgement:
    """The answer of a state that has no new messages, found by the state's keys.

    before: the state that the run began with. written: the keys that it wrote. drafts: what models said. in_pieces:
    whether the graph wrote pieces of a text by itself, which then is its answer.
    """

    def __init__(
        self,
        state: Any,
        last_update: Any,
        drafts: Sequence[Message],
        *,
        before: Mapping[str, Any],
        written: Collection[str],
        in_pieces: bool,
    ) -> None:
        self._state = state
        self._last_update = last_update
        self._drafts = drafts
        self._before = before
        self._written = written
        self._in_pieces = in_pieces

    def kept(self, *, of_several: bool) -> list[KeptMessage]:
        """The messages that make up the answer. of_several: whether one of several last words may be it."""
        last = [] if self._in_pieces or not isinstance(self._state, Mapping | None) else self._last_words()
        last = last[-1:] if of_several or len(last) == 1 else []
        said = self._under_answer_keys(*last) if isinstance(self._state, Mapping) else self._returned(self._state)
        if said and self._in_pieces and not self._is_draft(said[-1]):
            return []
        standing = self._standing_drafts()
        is_made_of_them = any(piece in text for text in last for piece in standing)
        is_made_of_them |= any(map(self._is_made_of_drafts, last))
        texts = said or (last if is_made_of_them else standing or last or self._standing_drafts(in_lists=True))
        return [KeptMessage(f"={place}", text) for place, text in enumerate(texts)]

    def beside_messages(self, kept: Sequence[KeptMessage], since: Collection[str]) -> list[KeptMessage]:
        """The text of a model under an answer key, where the messages that are kept do not hold it, nor it one of them.

        since: the keys that were written with the last of those messages, or after it. An object is for another node.
        """
        said = self._under_answer_keys(keys=[key for key in ANSWER_KEYS if key in since])
        texts = [text for text in said if text.lstrip()[:1] not in ("{", "[") and self._is_made_of_drafts(text)]
        is_held = any(text.strip() in each.text or is_made_of(text, each.text) for text in texts for each in kept)
        return [KeptMessage("=", text) for text in texts if not is_held]

    def _is_made_of_drafts(self, text: str) -> bool:
        return any(is_made_of(text, draft.text) for draft in self._drafts)

    def _under_answer_keys(self, last: str = "", keys: Sequence[str] = ANSWER_KEYS) -> list[str]:
        """The text under the first answer key that the run has written, or the last text, where it is made of that."""
        for key in keys:
            text, is_material = _text_in(self._state.get(key)), key in _MATERIAL_KEYS
            is_written = key in self._written and not is_material  # what was asked, in a state that is handed on whole
            if text and (is_written or self._state[key] != self._before.get(key)):
                return [last if is_material and text in last else text]
        return []

    def _returned(self, value: Any) -> list[str]:
        """The value that a function of LangGraph's functional API returns."""
        if isinstance(value, list | tuple) and value:
            messages = as_messages(value)
            return [text_of(message) for message in messages if isinstance(message, AIMessage) and text_of(message)]
        text = _text_in(value)
        return [text] if text else []

    def _standing_drafts(self, *, in_lists: bool = False) -> list[str]:
        """The last text of a model that stands in the state under any key, as it is or in a list."""
        values = list(self._state.values()) if isinstance(self._state, Mapping) else []
        if in_lists:
            values = [each for value in values if isinstance(value, list) for each in value]
        standing = [draft.text for draft in self._drafts if any(_stands(draft.text, value) for value in values)]
        return [without_thinking(text) for text in standing[-1:]]

    def _last_words(self) -> list[str]:
        update = self._last_update
        values = [update] if isinstance(update, str) else list(update.values()) if isinstance(update, Mapping) else []
        return [value for value in values if isinstance(value, str) and value]

    def _is_draft(self, text: str) -> bool:
        said = [without_thinking(draft.text) for draft in self._drafts]
        return any(each and text.strip().startswith(each) for each in said)


def has_answer_key(state: Any, written: Collection[str]) -> bool:
    """True if a text was written under a key that only answers have."""
    keys = [key for key in ANSWER_KEYS if key in written and key not in _MATERIAL_KEYS]
    return isinstance(state, Mapping) and any(_text_in(state.get(key)) for key in keys)


def given_back(state: Any, private: Collection[str]) -> Any:
    """A state, or an update of it, as far as its graph gives it back, as it is now: nodes change its lists in place."""
    if not isinstance(state, Mapping):
        return state
    kept = {key: value for key, value in state.items() if key not in private}
    return {key: list(value) if isinstance(value, list) else value for key, value in kept.items()}


def said_in(state: Any) -> list[BaseMessage]:
    """The messages that make up the conversation."""
    key = said_key(state)
    return as_messages(_fields(state)[key]) if key is not None else []


def said_key(state: Any) -> str | None:
    """The key of the conversation: `messages`, else the first that holds some."""
    fields = _fields(state)
    return "messages" if "messages" in fields else next((key for key in fields if as_messages(fields[key])), None)


def _fields(state: Any) -> Mapping[str, Any]:
    return state if isinstance(state, Mapping) else vars(state) if is_model_dump(state) else {}


def _text_in(value: Any) -> str:
    """The text in what stands under an answer key: a text, a message, or an object with a text of its own."""
    if isinstance(value, str):
        return value
    if isinstance(value, BaseMessage):
        return text_of(value)
    if isinstance(value, Mapping) or is_model_dump(value):
        fields = value if isinstance(value, Mapping) else vars(value)
        keys = _TEXT_KEYS if not isinstance(value, Mapping) else ANSWER_KEYS
        return next((text for key in keys if isinstance(text := fields.get(key), str) and text), "")
    return ""


def _stands(text: str, value: Any) -> bool:
    found = text_of(value) if isinstance(value, BaseMessage) else value
    return isinstance(found, str) and without_thinking(found) == without_thinking(text) != ""
