"""Reads a LangGraph graph: its final state says what the answer is, its structure what may be shown before.

Read from LangGraph 1.2: the stream modes `updates`, `values` and `custom` with `subgraphs=True`, whose items are
(namespace, mode, payload); the outermost graph's namespace is empty.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables import Runnable

from llmstream.core.answer.documents import are_documents, documents_in
from llmstream.core.answer.emitter import Emitter
from llmstream.core.answer.finish_reasons import word_in
from llmstream.core.answer.think_tags import without_thinking
from llmstream.core.chain_part import ANSWERS, ChainPart
from llmstream.core.chains.inspection import is_graph
from llmstream.core.graphs.live_output import Turns, path_of
from llmstream.core.graphs.state import Judgement, NewMessages, given_back, has_answer_key
from llmstream.core.graphs.structure import structure
from llmstream.core.graphs.thread_input import BREAKPOINT
from llmstream.core.message_content import as_messages, messages_in, messages_in_list, text_of
from llmstream.core.readers.drafts import DraftReader, KeptMessage
from llmstream.core.readers.items import INPUT_KEYS
from llmstream.events import Interrupt, json_value


class GraphReader(DraftReader):
    """A reader of a graph. Answer: the new messages of the final state, else the text under an answer key; see `state`.

    answer_nodes: the nodes whose text is the answer, where it can't be told from the graph. said: see `Job`.
    """

    def __init__(
        self,
        emitter: Emitter,
        chain: Runnable[Any, Any],
        *,
        answer_nodes: Sequence[str] = (),
        said: Collection[str] | None = None,
    ) -> None:
        super().__init__(emitter)
        self.interrupts: list[Interrupt] = []
        self._answer_nodes = frozenset(answer_nodes)
        self._structure = structure.get(chain)
        self._is_alone = is_graph(chain)  # without steps before it, which may find what it is given
        self._is_resumed = said is not None
        self._new = NewMessages(said or ())
        self._state: Any = None  # what the graph would give back now
        self._before: Mapping[str, Any] = {}  # as the run began
        self._documents: list[Document] = []  # of all of its state
        self._last_update: Any = None
        self._removed: set[str] = set()
        self._written: set[str] = set()
        self._written_since: set[str] = set()  # with the last message, or after it
        self._told_data: dict[str, Any] = {}
        self._pieces = 0
        self._turns = Turns(self._structure)
        self._settles_next = False  # whether the next state settles what this one has, which a guard may still take out
        self._shows: dict[ChainPart, bool] = {}  # the models that have begun, and whether each is shown while it speaks
        self.sources.held = True
        self.messages.before_first = self._tell_sources
        self.messages.after_withdrawn = self.sources.withdraw

    def name_of(self, part: ChainPart) -> str | None:
        """The name of the outermost graph's node in which a model runs."""
        return path_of(part)[0] or part.told("langgraph_node")

    def is_answer(self, part: ChainPart) -> bool:
        """False for a model that works for another part, chooses the next node, or runs in a node not asked for."""
        if not super().is_answer(part) or not part.told(ANSWERS) or self._structure.is_router(part):
            return False
        return not self._answer_nodes or self.name_of(part) in self._answer_nodes

    def may_show(self, part: ChainPart) -> bool:
        """True only if no later node can replace what the model says, and no answer stands that it may be about."""
        if part not in self._shows:
            may_be_next = bool(self._answer_nodes) or self._turns.may_be_next(part)
            # Behind an answer, who has not taken part before is a guard, a summary or a memory as often as a speaker.
            is_about = not self._answer_nodes and not self._turns.has_been(part) and self._has_answer()
            self._shows[part] = may_be_next and not is_about
            self._settles_next |= may_be_next and is_about
            if not is_about:
                self._turns.heard(part)
            if self._shows[part]:
                self._settle_state()
                self.replaced(self._turns.replaced_by(part))
        return self._shows[part]

    def _has_answer(self) -> bool:
        """True if the state has what may be the answer: a new message, or a text that was written under its key."""
        return self._new.has_answer(self._state) or has_answer_key(self._state, self._written)

    def model_said(self, part: ChainPart, text: str, reasoning: str) -> None:
        """Tells what a model says; a kept message is settled when the next speaker begins: until then it may go."""
        shows = self._shows.get(part)
        if shows is None:
            shows = self.is_answer(part) and self.may_show(part)
        if shows and text:
            self._turns.said(part)
        super().model_said(part, text, reasoning)

    def model_ended(self, part: ChainPart, message: BaseMessage | None) -> None:
        """Closes the draft of a model."""
        if message is None:
            self._turns.failed(part)
        super().model_ended(part, message)

    def tool_began(self, part: ChainPart, call_id: str | None, arguments: object) -> None:
        """Settles what the graph has said before its tools run."""
        self._turns.tool_began()
        if self._structure.is_rewritten:
            self._settle_state()
        super().tool_began(part, call_id, arguments)

    def put(self, item: Any) -> None:
        """Takes in an item of the stream."""
        namespace, mode, payload = item
        if mode == "custom":
            self._custom(payload)
        elif mode == "updates":
            self._updates(payload, namespace)
        elif mode == "values" and not namespace:
            self._values(payload)

    def end(self) -> None:
        """Settles the answer by the final state."""
        kept = self._new.of(self._state, self._answer_nodes, final=not self.interrupts)
        drafts = [draft.message for draft in self._drafts.values()]
        judgement = Judgement(
            self._state,
            self._last_update,
            drafts,
            before=self._before,
            written=self._written,
            in_pieces=self._pieces > 1,
        )
        if kept and not self.interrupts:
            kept += judgement.beside_messages(kept, self._written_since)
        elif not self.interrupts:
            kept = judgement.kept(of_several=not self._structure.is_function)
        self.settle(kept, removed=self._removed, final=True)
        new = self._new.messages(self._state)
        self.kept_whole([message.id for message in new])
        self.ends += [word_in(message.response_metadata) for message in new]
        self.messages.finish()
        self._data_of(self._state)
        if self._structure.is_function and isinstance(self._state, Mapping):
            self._texts_beside(self._state, kept)
        self._tell_sources()
        self.calls.leave(self._new.open_calls(self._state))

    def _updates(self, payload: Mapping[str, Any], namespace: Sequence[str]) -> None:
        outermost = not namespace
        for node, update in payload.items():
            if node == "__interrupt__":
                if outermost:
                    asked = [Interrupt(id=each.id, value=each.value) for each in update]
                    self.interrupts += asked or [BREAKPOINT]
                continue
            if outermost and self._structure.is_rewritten and not str(node).endswith((".after_model", ".after_agent")):
                self._settle_state()
            for part in update if isinstance(update, list) else [update]:
                self._update(node, part, namespace)

    def _update(self, node: str, update: Any, namespace: Sequence[str]) -> None:
        found = list(messages_in(update))
        made_value = isinstance(update, Mapping) and update.get("structured_response") is not None
        for message in found:
            if isinstance(message, AIMessage):
                self.calls.ask(message.tool_calls)
            elif isinstance(message, ToolMessage) and not made_value:
                self.tool_message(message)
        if namespace:
            if any(map(self.is_held, found)):
                self._turns.held_inside(namespace)
        else:
            self._turns.node_ended(node)
            self._last_update = given_back(update, self._structure.private)
            self._new.written(node, found)
            self._removed.update(str(each.id) for each in found if each.type == "remove")
            keys = set(map(str, update) if isinstance(update, Mapping) else ())
            self._written |= keys
            says = any(isinstance(message, AIMessage) and text_of(message) for message in found)
            self._written_since = keys if says else self._written_since | keys

    def _values(self, state: Any) -> None:
        is_first, self.sources.is_news = self._state is None, False
        if is_first and self._is_alone and not self._is_resumed:
            self.sources.given = documents_in(state)  # those of the thread as well
        self._documents = self.sources.fresh_in(state)
        self._state = state = given_back(state, self._structure.private)
        if is_first and isinstance(state, Mapping) and self._last_update is None:
            self._before = {} if self._is_resumed else state  # an answer may stand there since before the pause
            self._new.begin(state)
            self._told_data = {
                str(key): json_value(value) for key, value in state.items() if not messages_in_list(value)
            }
        self._data_of(state)
        if self._settles_next:
            self._settle_state()

    def _settle_state(self) -> None:
        self._settles_next = False
        self.settle(self._new.of(self._state, self._answer_nodes), removed=self._removed)

    def _data_of(self, state: Any) -> None:
        """Tells the values that are no text, when the graph changes them, and what a function returns as a whole."""
        if not isinstance(state, Mapping | str | BaseMessage | None) and not as_messages(state):
            self.data("output", state)
        for key, value in state.items() if isinstance(state, Mapping) else ():
            if key not in self._written or key in INPUT_KEYS or isinstance(value, str | BaseMessage) or value is None:
                continue
            if messages_in_list(value) or are_documents(value) or key == "remaining_steps":
                continue
            plain = json_value(value)
            if plain != self._told_data.get(key) and plain not in ([], {}):
                self._told_data[key] = plain
                self.data(str(key), plain)

    def _texts_beside(self, returned: Mapping[str, Any], kept: Sequence[KeptMessage]) -> None:
        """Tells the texts that a function returns by their names, but for the one that is the answer."""
        said = {without_thinking(each.text) for each in kept}
        for name, value in returned.items():
            if isinstance(value, str) and name not in INPUT_KEYS and without_thinking(value) not in {*said, ""}:
                self.data(str(name), value)

    def _custom(self, payload: Any) -> None:
        if isinstance(payload, BaseMessage):
            return self.node_said(str(payload.id), text_of(payload))
        if isinstance(payload, Mapping) and len(payload) == 1 and isinstance(next(iter(payload.values())), str):
            self._pieces += next(iter(payload.values())) != next(iter(payload.values())).strip()
        self.data("custom", payload)

    def _tell_sources(self, message: str | None = None) -> None:
        """Tells the documents of the state, which the graph chose; else those that its retrievers found."""
        if self._documents and not (self.sources.is_news and message is not None):  # else it does not know of them yet
            self.sources.replace(self._documents)
        self.sources.tell(message)
