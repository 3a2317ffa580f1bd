"""From a question or messages to what a chain takes as its input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypedDict

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import BaseMessage, ChatMessage, HumanMessage, convert_to_messages
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable

from llmstream.core.anatomy import (
    ByChain,
    first_step,
    state_names,
)
from llmstream.core.demanded import DemandedCall
from llmstream.errors import (
    InvalidRequest,
)
from llmstream.settings import Settings, Thinking

# A question; messages (LangChain's, or dicts with role and content); or a dict that is the chain's input as it stands.
Input: TypeAlias = str | Sequence[BaseMessage | Mapping[str, Any] | tuple[str, str]] | Mapping[str, Any]
_HISTORY = ("history", "chat_history")
_QUESTION = ("question", "input", "query")
_NO_TEXT = "This chain takes text only: ask without images, or use a chain that takes `messages`."


@dataclass(frozen=True)
class Question:
    """What a person asks: the messages so far, the last of them the question, and text to answer from."""

    messages: Sequence[BaseMessage]
    context: str | None = None

    @property
    def text(self) -> str:
        """The question alone, as text."""
        content = self.messages[-1].content
        if isinstance(content, str):
            return content
        if any(isinstance(part, dict) and part.get("type") not in (None, "text") for part in content):
            raise InvalidRequest(_NO_TEXT)
        return "\n".join(part if isinstance(part, str) else str(part.get("text", "")) for part in content)


def to_messages(question: str | Sequence[Any], history: Sequence[Any] = ()) -> list[BaseMessage]:
    """The conversation as LangChain messages; raises `InvalidRequest` where one can't be read."""
    if isinstance(question, str) and not history:
        return [HumanMessage(question)]
    asked: Sequence[Any] = [HumanMessage(question)] if isinstance(question, str) else question
    try:
        messages = convert_to_messages([*map(_plain_parts, history), *map(_plain_parts, asked)])
    except (ValueError, TypeError, KeyError, NotImplementedError, AttributeError):
        raise InvalidRequest(
            'A message must be a LangChain message or {"role": "user" | "assistant" | "system" | "tool", '
            '"content": text or parts}.'
        ) from None
    if not messages:
        raise InvalidRequest("There is nothing to answer: give a question or at least one message.")
    return messages


def _plain_parts(message: Any) -> Any:
    """A dict message whose parts have LangChain's form, whatever common form they came in; parts of text are a text."""
    if isinstance(message, Mapping) and message.get("role") == "control":  # a role of Ollama's alone
        return ChatMessage(role="control", content=message.get("content") or "")
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), list | tuple):
        return message
    parts = [_plain_part(part) for part in message["content"]]
    texts = [part.get("text") for part in parts if isinstance(part, Mapping) and part.get("type") == "text"]
    if len(texts) == len(parts) and all(isinstance(text, str) for text in texts):
        return {**message, "content": "\n".join(map(str, texts))}
    return {**message, "content": parts}


def _plain_part(part: Any) -> Any:
    if not isinstance(part, Mapping) or part.get("type") != "image":
        return part
    data = part.get("data") or part.get("base64") or part.get("image") or part.get("url")
    return {"type": "image_url", "image_url": data} if isinstance(data, str) else part


@dataclass(frozen=True)
class _Takes:
    """What a chain takes: messages, a text, or these variables, each with its type, some of them optional."""

    kind: Literal["messages", "text", "variables"]
    variables: Mapping[str, Any] = field(default_factory=dict)
    optional: Set[str] = frozenset()


def chain_input(chain: Runnable[Any, Any], question: Question) -> Any:
    """What this chain takes for this question, by its prompt's variables or its input schema.

    Messages for a model or a graph, text for a chain that takes text, else a dict: `messages`, `history` or
    `chat_history`, `context`, and the question under the one name that is left.
    Raises `InvalidRequest` where the chain needs more, or has no place for the context.
    """
    takes = _takes.get(chain)
    if takes.kind == "variables":
        return _fill(takes.variables, takes.optional, question)
    if question.context is not None:
        raise _no_context()
    return list(question.messages) if takes.kind == "messages" else question.text


def _what_it_takes(chain: Runnable[Any, Any]) -> _Takes:
    first = first_step(chain)
    if isinstance(first, BasePromptTemplate):
        names = [*first.input_variables, *first.optional_variables]
        wanted = {name: first.input_types.get(name) for name in names}
        return _Takes("variables", wanted, frozenset(first.optional_variables))
    if isinstance(first, BaseLanguageModel):
        return _Takes("messages")
    try:
        schema = chain.get_input_jsonschema()
    except Exception as error:  # such as pydantic's for a typing.TypedDict
        if (state := state_names(chain)) is not None:
            return _Takes("variables", dict.fromkeys(state), frozenset(state))
        raise InvalidRequest("What this chain takes can't be told from its types: give its input as a dict.") from error
    # A parallel's schema names "root" what a branch takes that is not a dict.
    properties = {name: each for name, each in schema.get("properties", {}).items() if name != "root"}
    if schema.get("type") == "object" and properties:
        wanted = {name: list if each.get("type") == "array" else None for name, each in properties.items()}
        return _Takes("variables", wanted, frozenset(properties) - frozenset(schema.get("required", properties)))
    return _Takes("messages" if schema.get("type") == "array" else "text")


# A chain's input schema takes milliseconds.
_takes = ByChain(_what_it_takes)


def _no_context() -> InvalidRequest:
    return InvalidRequest("This chain has no place for a context: its prompt has no {context}.")


def _fill(wanted: Mapping[str, Any], optional: Set[str], question: Question) -> dict[str, Any]:
    """The chain's variables, each with its value."""
    values: dict[str, Any] = {}
    left: list[str] = []
    for name in wanted:
        if name == "messages":
            values[name] = list(question.messages)
        elif name in _HISTORY:
            values[name] = list(question.messages[:-1])
        elif name == "context":
            if question.context is None and name not in optional:
                left.append(name)
            elif question.context is not None:
                values[name] = question.context
        elif name not in optional or name in _QUESTION:
            left.append(name)
    if question.context is not None and "context" not in values:
        raise _no_context()
    return {**values, **_question(left, wanted, values, question)}


def _question(
    left: list[str], wanted: Mapping[str, Any], values: Mapping[str, Any], question: Question
) -> dict[str, Any]:
    if not left and ("messages" in values):
        return {}
    name = next((name for name in _QUESTION if name in left), left[0] if len(left) == 1 else None)
    others = [other for other in left if other != name]
    if name is None or name == "context" or others:
        missing = ", ".join(f"{{{other}}}" for other in (others or left)) or "a question"
        raise InvalidRequest(
            f"The chain's prompt wants {missing}, which was not given. Give the chain's input as a dict."
        )
    is_list = wanted[name] is not None and wanted[name] is not str
    return {name: list(question.messages) if is_list else question.text}


class Arguments(TypedDict, total=False):
    """What the generators take beside the question, all optional.

    chain: any LangChain Runnable, or a function; None is the default chain.
    context: text to answer from, for a chain whose prompt has {context}, as the default one can.
    history: earlier messages.
    settings: None reads the environment.
    model, thinking, options: for the default chain, over the settings; options by Ollama's names.
    tools: for the default chain, what its model may call, each as `{"type": "function", "function": {…}}`.
    format: for the default chain, "json" or the JSON schema that its answer must have.
    demanded: a call that its answer is to be told as; `format` is then that of the call.
    """

    chain: object
    context: str | None
    history: Sequence[Any]
    settings: Settings | None
    model: str | None
    thinking: Thinking | None
    options: Mapping[str, Any] | None
    tools: Sequence[Mapping[str, Any]]
    format: str | Mapping[str, Any] | None
    demanded: DemandedCall | None
