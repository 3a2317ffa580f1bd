"""The input of a chain, made from a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypedDict

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import BaseMessage, get_buffer_string
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable, RunnableParallel, RunnablePassthrough

from llmstream.core.answer.demanded_call import DemandedCall
from llmstream.core.chains.chain_cache import ByChain
from llmstream.core.chains.generator_functions import GeneratorChain
from llmstream.core.chains.inspection import assigned, first_step, is_classic, second_step
from llmstream.core.question.question import Question
from llmstream.core.question.state_types import holds_messages, is_text, state_types
from llmstream.errors import InvalidRequest
from llmstream.settings import Settings, Thinking

# A question; messages (LangChain's, or dicts with role and content); a dict that is the chain's input as it stands; or
# None where a graph goes on with what a person answered.
Input: TypeAlias = str | Sequence[BaseMessage | Mapping[str, Any] | tuple[str, str]] | Mapping[str, Any] | None
_HISTORY = frozenset(("history", "chat_history"))
_QUESTION = ("question", "input", "query")


@dataclass(frozen=True)
class _Takes:
    """The form of a chain's input: messages, a text, or these variables, some of them optional.

    variables: from a name to what stands there; "any" where that can't be told. conversation: of that for all messages.
    """

    kind: Literal["messages", "text", "variables"]
    variables: Mapping[str, Literal["messages", "text", "any"]] = field(default_factory=dict)
    optional: Set[str] = frozenset()
    conversation: str = "messages"


def chain_input(chain: Runnable[Any, Any], question: Question, inputs: Mapping[str, Any]) -> Any:
    """The input that a chain takes for a question, by its prompt's variables, its state, or its input schema.

    Messages for a model, text for a chain that takes text, else a dict: `messages`, `history` or `chat_history`,
    `context`, and the question under the one name that is left.
    inputs: values of its other variables; a chain that takes text gets a dict of them and the question then.
    Raises `InvalidRequest` where the chain needs more, or has no place for the context or the inputs.
    """
    takes = _takes.get(chain)
    if takes.kind == "variables":
        return _fill(takes, question, inputs)
    if question.context is not None:
        raise _no_context()
    if takes.kind == "messages":
        if inputs:
            raise InvalidRequest(
                "This chain takes messages, and has no place for inputs: put a prompt before its model."
            )
        return list(question.messages)
    return {"question": question.text, **inputs} if inputs else question.text


def takes_messages(chain: Runnable[Any, Any]) -> bool:
    """True if a chain is given the question as a message, with all its parts; False where that can't be told."""
    try:
        takes = _takes.get(chain)
    except InvalidRequest:
        return False
    kinds = [kind for name, kind in takes.variables.items() if name not in _HISTORY]
    return takes.kind == "messages" or takes.conversation in takes.variables or "messages" in kinds


def _what_it_takes(chain: Runnable[Any, Any]) -> _Takes:
    takes, values = _what_is_handed_on(chain), assigned(chain)
    if not values:
        return takes
    # It is a dict then, of what those values are made of, and of what the next step wants beside them.
    schemas = [_of_schema(each.get_input_jsonschema()).variables for each in values]
    made = {name for each in values for name in each.steps__}
    wanted = {name: kind for name, kind in takes.variables.items() if name not in made}
    for schema in schemas:
        wanted = {**{name: kind for name, kind in schema.items() if name not in made}, **wanted}
    return _Takes("variables", wanted or {"question": "text"}, takes.optional & wanted.keys())


def _what_is_handed_on(chain: Runnable[Any, Any]) -> _Takes:
    first = first_step(chain)
    if isinstance(first, BasePromptTemplate):
        names = [*first.input_variables, *first.optional_variables]
        return _Takes(
            "variables", {name: _of_prompt(first, name) for name in names}, frozenset(first.optional_variables)
        )
    if isinstance(first, GeneratorChain):
        return _of_function(first)
    if isinstance(first, BaseLanguageModel) or _hands_on_messages(chain, first):
        return _Takes("messages")
    if (state := state_types(first)) is not None:
        return _of_state(state)
    if is_classic(first):
        return _of_classic(first)
    try:
        schema = chain.get_input_jsonschema()
    except Exception as error:  # such as pydantic's for a typing.TypedDict
        raise InvalidRequest("What this chain takes can't be told from its types: give its input as a dict.") from error
    return _of_schema(schema)


def _of_prompt(prompt: BasePromptTemplate[Any], name: str) -> Literal["messages", "text"]:
    """The input of a prompt: a placeholder takes messages, and says so by its type; a variable in a text takes text."""
    return "messages" if prompt.input_types.get(name, str) is not str else "text"


def _hands_on_messages(chain: Runnable[Any, Any], first: Runnable[Any, Any]) -> bool:
    """True if a parallel gives its input unchanged to models, or to a graph or a prompt's placeholder behind it."""
    if not isinstance(first, RunnableParallel):
        return False
    branches = first.steps__
    if all(isinstance(first_step(branch), BaseLanguageModel) for branch in branches.values()):
        return True
    prompt = second_step(chain)
    if prompt is not None and "messages" in (state_types(prompt) or ()):
        return isinstance(branches.get("messages"), RunnablePassthrough)
    return isinstance(prompt, BasePromptTemplate) and any(
        isinstance(branch, RunnablePassthrough) and _of_prompt(prompt, name) == "messages"
        for name, branch in branches.items()
        if name in prompt.input_types
    )


def _of_state(state: Mapping[str, Any]) -> _Takes:
    """The input of a graph's state: its messages, or its question; its other keys are left to the graph."""
    lists = [name for name, type_ in state.items() if holds_messages(type_)]
    texts = [name for name, type_ in state.items() if is_text(type_)]
    first = next((name for name in state if name in (*lists, *texts)), None)
    name = next((name for name in ("messages", *_QUESTION, first, *state) if name in state), None)
    if name == "messages" or name in lists:
        return _Takes("variables", {name: "messages"}, conversation=name)
    variables: dict[str, Literal["messages", "text", "any"]] = {name: "text"} if name is not None else {}
    if "context" in texts and name != "context":
        variables["context"] = "text"
    return _Takes("variables", {**variables, **dict.fromkeys(_HISTORY & {*lists}, "messages")}, frozenset({"context"}))


def _of_classic(chain: Any) -> _Takes:
    """The input of an old chain, by its keys; an agent tells none, and takes what its prompt takes."""
    names = list(chain.input_keys) or ["input", "chat_history"]
    kinds: dict[str, Literal["messages", "text", "any"]] = dict.fromkeys(names, "text")
    return _Takes("variables", {**kinds, **dict.fromkeys(_HISTORY & kinds.keys(), "messages")})


def _of_function(function: GeneratorChain) -> _Takes:
    kinds: dict[str, Literal["messages", "text", "any"]] = dict.fromkeys(function.parameters, "text")
    optional = frozenset(name for name, is_optional in function.parameters.items() if is_optional)
    return _Takes("variables", {**kinds, **dict.fromkeys(_HISTORY & kinds.keys(), "messages")}, optional)


def _of_schema(schema: Mapping[str, Any]) -> _Takes:
    # A parallel's schema names "root" what a branch takes that is not a dict.
    properties = {name: each for name, each in schema.get("properties", {}).items() if name != "root"}
    if schema.get("type") == "object" and properties:
        kinds: dict[str, Literal["messages", "text", "any"]] = {"array": "messages", "string": "text"}
        wanted = {name: kinds.get(each.get("type"), "any") for name, each in properties.items()}
        return _Takes("variables", wanted, frozenset(properties) - frozenset(schema.get("required", properties)))
    return _Takes("messages" if schema.get("type") == "array" else "text")


# A chain's input schema takes milliseconds.
_takes = ByChain(_what_it_takes)


def _no_context() -> InvalidRequest:
    return InvalidRequest("This chain has no place for a context: its prompt has no {context}.")


def _fill(takes: _Takes, question: Question, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the chain's variables, by name; what is given in `inputs` stands."""
    values: dict[str, Any] = dict(inputs)
    left: list[str] = []
    for name, kind in takes.variables.items():
        if name in inputs:
            continue
        if name == takes.conversation:
            values[name] = list(question.messages)
        elif name in _HISTORY:
            values[name] = get_buffer_string(question.history) if kind == "text" else question.history
        elif name == "context":
            if question.context is None and name not in takes.optional:
                left.append(name)
            elif question.context is not None:
                values[name] = question.context
        elif name not in takes.optional or name in _QUESTION:
            left.append(name)
    if question.context is not None and "context" not in values:
        raise _no_context()
    return {**values, **_question(left, takes, values, question)}


def _question(left: list[str], takes: _Takes, values: Mapping[str, Any], question: Question) -> dict[str, Any]:
    if not left and (takes.conversation in values or not values.keys().isdisjoint(takes.variables)):
        return {}
    name = next((name for name in _QUESTION if name in left), left[0] if len(left) == 1 else None)
    others = [other for other in left if other != name]
    if name is None or name == "context" or others:
        missing = ", ".join(f"{{{other}}}" for other in (others or left)) or "a question"
        raise InvalidRequest(
            f"The chain wants {missing}, which was not given. Given by name are question, messages, history, context. "
            "Give others in `inputs` (over HTTP by the `prepare` of create_router), or the chain's input as a dict."
        )
    return {name: list(question.messages) if takes.variables[name] == "messages" else question.text}


class Arguments(TypedDict, total=False):
    """The arguments of the generators beside the question, all optional.

    chain: any LangChain Runnable, or a function; None is the default chain.
    answer_nodes: the nodes of a graph whose text is the answer, where it can't be told from the graph.
    thread: the name of the conversation, for a chain that remembers; a caller's own.
    resume: from the id of each interrupt that a graph's run ended with to the answer; the question is None then.
    inputs: values of the chain's variables beside the question, by name; for a chain of one's own, as is `config`.
    config: what LangChain is told of the run, such as `configurable`, `tags` and `callbacks`.
    context: text to answer from, for a chain whose prompt has {context}, as the default one can.
    history: earlier messages.
    images: of the question, each a path, bytes, a PIL image, a matplotlib figure or a data: URL.
    settings: None reads the environment.
    model, thinking, options: for the default chain, over the settings; options by Ollama's names.
    tools: for the default chain, what its model may call, each as `{"type": "function", "function": {…}}`.
    format: for the default chain, "json" or the JSON schema that its answer must have.
    demanded: a call that its answer is to be told as; `format` is then that of the call.
    """

    chain: object
    answer_nodes: Sequence[str]
    thread: str | None
    resume: Mapping[str, Any] | None
    inputs: Mapping[str, Any]
    config: Mapping[str, Any]
    context: str | None
    history: Sequence[Any]
    images: Sequence[Any]
    settings: Settings | None
    model: str | None
    thinking: Thinking | None
    options: Mapping[str, Any] | None
    tools: Sequence[Mapping[str, Any]]
    format: str | Mapping[str, Any] | None
    demanded: DemandedCall | None
