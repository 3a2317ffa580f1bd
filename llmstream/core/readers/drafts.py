"""Reads a chain whose end decides what its answer is: text is shown as a draft while it comes, and judged by that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from langchain_core.messages import BaseMessage

from llmstream.core.answer.emitter import Emitter
from llmstream.core.answer.message_order import Message
from llmstream.core.answer.think_tags import without_thinking
from llmstream.core.chain_part import ChainPart
from llmstream.core.readers.cut_texts import cut_texts
from llmstream.core.readers.reader import Reader

# How many words may stand in a text without being a part of what it was made of.
_BY_CHANCE = 3


@dataclass(frozen=True)
class KeptMessage:
    """A message that the chain keeps; id: LangChain's, or a place; name: of the node that wrote it."""

    id: str
    text: str
    name: str | None = None


@dataclass(eq=False)
class _Draft:
    """The text of a model's run, or of a node itself (part is None); `message` tells it, unless it is held back.

    settled: whether the chain keeps it. may_go: whether it is taken back where the chain does not. gone: that it was.
    """

    part: ChainPart | None
    message: Message
    settled: bool = False
    may_go: bool = True
    gone: bool = False

    def may_be(self, kept: KeptMessage) -> bool:
        """True if a kept message may be made of the draft: one that has its id, or begins with its text."""
        return (self.part is not None and kept.id == _id_of(self.part)) or self.begins(kept.text)

    def begins(self, text: str) -> bool:
        """True if a text equals the draft's, or begins with it."""
        said = without_thinking(self.message.text)
        return bool(said) and text.strip().startswith(said)


class DraftReader(Reader):
    """A reader with a draft for each model's run; a subclass says which are shown at once, and what was kept."""

    def __init__(self, emitter: Emitter) -> None:
        super().__init__(emitter, named=True)
        self._drafts: dict[str, _Draft] = {}  # by the id that LangChain gives the message of a model's run
        self._cut: list[tuple[ChainPart, list[str]]] = []  # what models have said that were cut, those in tools too
        self._settled: dict[str, tuple[Message, str]] = {}  # by the id of what was kept
        self._last: ChainPart | None = None  # the model that has ended last, but for those in tools and retrievers

    def name_of(self, part: ChainPart) -> str | None:
        """The name under which a model's text is shown."""
        return None

    def is_answer(self, part: ChainPart) -> bool:
        """True if a model's text may be a part of the answer."""
        return not part.is_inner

    def may_show(self, part: ChainPart) -> bool:
        """True if a model's text is shown while it comes: shown text can't be taken back from every client."""
        return True

    def model_said(self, part: ChainPart, text: str, reasoning: str) -> None:
        """Adds a piece to the draft of a model."""
        draft = self._draft(part)
        if draft is None:
            return
        message = draft.message
        self.messages.think(message, reasoning)
        if not message.told and message.is_blank and text.lstrip()[:1] in ("{", "["):
            message.held = True  # an object for another node, more often than a text
        self.messages.say(message, text)

    def model_ended(self, part: ChainPart, message: BaseMessage | None) -> None:
        """Closes the draft of a model."""
        super().model_ended(part, message)
        if message is not None:
            self._cut += [(part, cut_texts(message))] if part.is_cut else []
            self._last = self._last if part.is_under("tool", "retriever") else part
        draft = self._draft(part) if message is not None else self._drafts.get(_id_of(part))
        if draft is None:
            return
        if message is not None:
            self.calls.ask(getattr(message, "tool_calls", ()), draft.message)
            if draft.message.is_blank:
                draft.message.held = True
                self.messages.say(draft.message, message.text if isinstance(message.text, str) else "")
        self.messages.end(draft.message)

    def node_said(self, message_id: str, text: str) -> None:
        """Takes a piece of a message that a node writes itself, which is always a part of the answer."""
        if message_id not in self._drafts:
            self._drafts[message_id] = _Draft(None, self.messages.begin(), may_go=False)
        self.messages.say(self._drafts[message_id].message, text)

    def settle(self, kept: Sequence[KeptMessage], *, removed: Collection[str] = (), final: bool = False) -> None:
        """Tells what the chain keeps, as far as it was not told; takes back what was told and is not kept.

        kept: all messages of this run that the chain keeps now, in their order. removed: the ids of those that it took
        out. final: whether drafts that are not among them never will be.
        """
        if final:  # before what takes their place
            self._withdraw_unless(lambda draft: any(draft.may_be(each) for each in kept))
        for each in kept:
            self._settle(each)
        for message_id in removed:
            if message_id in self._settled and all(each.id != message_id for each in kept):
                self.messages.withdraw(self._settled.pop(message_id)[0])
        if final:
            self._withdraw_unless(lambda draft: False)

    def _withdraw_unless(self, stays: Callable[[_Draft], bool]) -> None:
        for draft in self._drafts.values():
            if not stays(draft):
                self._take_back(draft)

    def replaced(self, parts: Collection[ChainPart]) -> None:
        """Takes back what models have said in whose place another one speaks."""
        for draft in self._drafts.values():
            if draft.part in parts:
                self._take_back(draft)

    def _take_back(self, draft: _Draft) -> None:
        if draft.may_go and not draft.settled and not draft.gone:
            draft.gone = True
            self.messages.withdraw(draft.message)

    def _settle(self, kept: KeptMessage) -> None:
        message, text = self._settled.get(kept.id, (None, ""))
        if message is not None and _same(text, kept.text):
            return
        draft = self._drafts.get(kept.id) if message is None else None
        if draft is None or draft.gone:
            draft = self._by_text(kept.text)
        self._note_cut(kept.text)
        if draft is None:
            told = self._amend(message, text, kept) if message else self.messages.tell(kept.text, kept.name)
        else:
            if message is not None:  # another model has said the message anew
                self.messages.withdraw(message)
            draft.settled = True
            if draft.part is not None:
                self.shown.append(draft.part)
            told = draft.message
            if not _same(told.text, kept.text):
                told = self._amend(told, told.text, kept)
            elif told.held:
                self.messages.release(told)
        self._settled[kept.id] = told, kept.text

    def _note_cut(self, text: str) -> None:
        """Notes the models whose cut text the chain has put into another one, which is then cut as well."""
        self.shown += [part for part, texts in self._cut if any(is_made_of(text, said) for said in texts)]

    def kept_whole(self, ids: Collection[str | None]) -> None:
        """Takes in the ids of all that the chain keeps: a message that was cut before its first word has no text."""
        self.shown += [part for part, _ in self._cut if _id_of(part) in ids]
        last = next(reversed(self._drafts.values()), None)
        if not self.shown and last is not None and last.part is not None and last.part.truncated:
            self.shown.append(last.part)
        if not self._settled and self._last is not None:  # where no text is told, an object may be made of what it said
            self.shown.append(self._last)

    def _amend(self, message: Message, text: str, kept: KeptMessage) -> Message:
        """Gives a draft the text that was kept: the rest is said, or the draft is withdrawn and said anew."""
        said = next((said for said in (text, without_thinking(text)) if kept.text.startswith(said)), None)
        if said is not None and (message.held or message is self.messages.last_told):
            self.messages.release(message)
            self.messages.continue_with(message, kept.text[len(said) :])
            return message
        self.messages.withdraw(message)
        return self.messages.tell(kept.text, message.name or kept.name)

    def is_held(self, message: BaseMessage) -> bool:
        """True if a message was made of a draft that is held back."""
        draft = self._drafts.get(message.id or "") or self._by_text(str(message.text))
        return draft is not None and not draft.settled and draft.message.held

    def _by_text(self, text: str) -> _Draft | None:
        """The last draft that a kept text was made of: one that equals the text, or its beginning."""
        for draft in reversed(self._drafts.values()):
            if not (draft.settled or draft.gone) and draft.begins(text):
                return draft
        return None

    def _draft(self, part: ChainPart) -> _Draft | None:
        draft = self._drafts.get(_id_of(part))
        if draft is None and self.is_answer(part):
            message = self.messages.begin(self.name_of(part), held=not self.may_show(part))
            self._drafts[_id_of(part)] = draft = _Draft(part, message)
        return draft


def is_made_of(text: str, piece: str) -> bool:
    """True if another text begins or ends a line of a text; elsewhere a few words may stand by chance, more do not."""
    text, said = without_thinking(text), without_thinking(piece)
    if len(said.split()) > _BY_CHANCE:
        return said in text
    start = text.find(said) if said else -1
    while start >= 0:
        before, behind = text[start - 1 : start], text[start + len(said) : start + len(said) + 1]
        begins, ends = before in ("", "\n"), behind in ("", "\n")
        if (begins or before.isspace()) and (ends or behind.isspace()) and (begins or ends):
            return True
        start = text.find(said, start + 1)
    return False


def _same(text: str, other: str) -> bool:
    """True if two texts are one: nodes strip what their models say, and take their thinking out of it."""
    return without_thinking(text) == without_thinking(other)


def _id_of(part: ChainPart) -> str:
    """The id of the message that a model's run makes."""
    return f"lc_run--{part.id}"
