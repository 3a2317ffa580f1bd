"""The question of a graph to a person: in words, and as the tool calls of LangChain's HumanInTheLoopMiddleware."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmstream.events import Interrupt, ToolCall

# The key under which people put the question, where what their graph asks is a dict.
_QUESTION = ("question", "message", "prompt", "query", "text")
# Behind the question, for clients that name no thread on which an answer could go on.
ASK_ELSEWHERE = "This client can't take the answer. Ask again where one can be given, such as llmstream's chat page."
_ALL_DECISIONS = ("approve", "edit", "reject")

Decision = dict[str, Any]


@dataclass(frozen=True)
class Action:
    """A tool call that waits for a person's decision; allowed: the types of decision, of which there is one at least.

    call_id: of the call, where the graph tells it.
    """

    name: str
    arguments: Mapping[str, Any]
    description: str
    allowed: tuple[str, ...]
    call_id: str = ""


def actions_of(interrupt: Interrupt) -> list[Action]:
    """The tool calls that an interrupt asks about; none where it asks something else.

    Source: `langchain.agents.middleware.human_in_the_loop`, which asks about all calls of a message together or, in its
    mode `per_call`, about each.
    """
    match interrupt["value"]:
        case {"action_requests": list(requests), "review_configs": list(configs)}:
            known = [each for each in configs if isinstance(each, Mapping)]
            allowed = {each.get("action_name"): each.get("allowed_decisions") for each in known}
            return [_action(each, allowed.get(each.get("name"))) for each in requests if isinstance(each, Mapping)]
        case {"type": "tool_approval", "name": str()}:
            return [_action(interrupt["value"], None)]
    return []


def answer_of(interrupt: Interrupt, decisions: Sequence[Decision]) -> Any:
    """The answer to an interrupt that asks about tool calls, from a decision on each, in their order."""
    return {"decisions": list(decisions)} if is_batch(interrupt) else decisions[0]


def refusal_of(interrupt: Interrupt) -> Any:
    """The answer of a person who does not want to answer: every call is rejected; to anything else, null."""
    actions = actions_of(interrupt)
    return answer_of(interrupt, [{"type": "reject"} for _ in actions]) if actions else None


def typed_answers(interrupts: Sequence[Interrupt], text: str) -> dict[str, Any]:
    """The answers, by the ids of the interrupts, of a person who has a line of text to answer with.

    For tool calls: approve, y or yes; reject, n or no; other arguments as JSON, in the form of `arguments_to_edit`,
    where they may be edited; any other text is why they are rejected, or stands for the tool's result where a call
    can't be rejected. To anything else, the text is the answer.
    """
    text = text.strip()
    edited = iter(_edited_arguments(interrupts, text))
    return {each["id"]: _typed(each, text, edited) for each in interrupts}


def arguments_to_edit(interrupts: Sequence[Interrupt]) -> str:
    """The arguments as JSON, for a person to change: an object, or a list of them where there are several calls.

    Empty where there is no call, or one that may not be edited.
    """
    actions = _editable(interrupts)
    found = [dict(action.arguments) for action in actions]
    return _json(found[0] if len(found) == 1 else found) if found else ""


def _editable(interrupts: Sequence[Interrupt]) -> list[Action]:
    actions = [action for each in interrupts for action in actions_of(each)]
    return actions if all("edit" in action.allowed for action in actions) else []


def _edited_arguments(interrupts: Sequence[Interrupt], text: str) -> list[dict[str, Any]]:
    """The arguments of each call in a text; none where it is something else."""
    try:
        value = json.loads(text)
    except ValueError:
        return []
    found = value if isinstance(value, list) else [value]
    is_whole = len(found) == len(_editable(interrupts)) and all(isinstance(each, dict) for each in found)
    return found if is_whole else []


def _typed(interrupt: Interrupt, text: str, edited: Iterator[dict[str, Any]]) -> Any:
    actions = actions_of(interrupt)
    if not actions:
        return text
    return answer_of(interrupt, [_typed_decision(action, text, next(edited, None)) for action in actions])


def _typed_decision(action: Action, text: str, edited: dict[str, Any] | None) -> Decision:
    if edited is not None:
        return edit_of(action, edited)
    if text.lower() in ("approve", "y", "yes"):
        return {"type": "approve"}
    if text.lower() in ("reject", "n", "no"):
        return {"type": "reject"}
    can_respond = "respond" in action.allowed and "reject" not in action.allowed
    return {"type": "respond" if can_respond else "reject", "message": text}


def edit_of(action: Action, arguments: Mapping[str, Any]) -> Decision:
    """The decision that a tool is to be called with other arguments."""
    return {"type": "edit", "edited_action": {"name": action.name, "args": dict(arguments)}}


def is_batch(interrupt: Interrupt) -> bool:
    """True if an interrupt that asks about tool calls asks about all of a message together."""
    return "action_requests" in interrupt["value"]


def calls_of(interrupt: Interrupt, open_calls: Collection[ToolCall]) -> Iterator[tuple[Action, ToolCall | None]]:
    """Each tool call that an interrupt asks about, with the one among those without a result that it is."""
    left = list(open_calls)
    for action in actions_of(interrupt):
        told = (action.name, action.arguments)
        call = next((c for c in left if c.id == action.call_id or (c.name, c.arguments) == told), None)
        if call is not None:
            left.remove(call)
        yield action, call


def answer_schema(interrupt: Interrupt) -> dict[str, Any] | None:
    """The JSON schema of the answer to an interrupt that asks about tool calls."""
    actions = actions_of(interrupt)
    if not actions:
        return None
    decisions = [_decision_schema(action) for action in actions]
    if not is_batch(interrupt):
        return decisions[0]
    count = len(decisions)
    listed = {"type": "array", "prefixItems": decisions, "minItems": count, "maxItems": count}
    return {"type": "object", "properties": {"decisions": listed}, "required": ["decisions"]}


def _decision_schema(action: Action) -> dict[str, Any]:
    edited = {"type": "object", "properties": {"name": {"type": "string"}, "args": {"type": "object"}}}
    fields = {"type": {"enum": list(action.allowed)}, "message": {"type": "string"}, "edited_action": edited}
    return {"type": "object", "properties": fields, "required": ["type"]}


def in_words(interrupts: Sequence[Interrupt]) -> str:
    """The question of a graph, as plain text."""
    return "\n\n".join(_words(each) for each in interrupts)


def _words(interrupt: Interrupt) -> str:
    if actions := actions_of(interrupt):
        return "\n\n".join(map(_action_words, actions))
    value = interrupt["value"]
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        key = next((key for key in _QUESTION if isinstance(value.get(key), str)), None)
        if key is not None:
            rest = {name: each for name, each in value.items() if name != key}
            return f"{value[key]}\n\n{_json(rest)}" if rest else str(value[key])
    return _json(value)


def _action_words(action: Action) -> str:
    what = action.description.strip() or f"The tool {action.name} is to be called with {_json(action.arguments)}."
    return f"{what}\n\nDecide: {' or '.join(action.allowed)}."


def _action(fields: Mapping[str, Any], allowed: object) -> Action:
    arguments = fields.get("args")
    decisions = tuple(map(str, allowed)) if isinstance(allowed, list) and allowed else _ALL_DECISIONS
    return Action(
        name=str(fields.get("name", "")),
        arguments=arguments if isinstance(arguments, Mapping) else {},
        description=str(fields.get("description") or ""),
        allowed=decisions,
        call_id=str(fields.get("tool_call_id") or ""),
    )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
