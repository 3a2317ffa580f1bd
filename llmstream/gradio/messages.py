"""The messages of a Gradio chatbot: making them, and reading what a page sends back; no Gradio here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]

# What a person asks, in the form of Gradio's MultimodalTextbox: {"text": …, "files": […]}.
Asked = dict[str, Any]
CONTINUE = "Continue"

# The option that has the person change the arguments of a call, in the message box.
EDIT = "edit"

# The metadata of what a graph asks a person, and of the answer: a chain has them in its thread.
QUESTION, ANSWER = {"id": "question"}, {"id": "answer"}

# What the metadata of a question begins with whose answer is to be that run.
_FOLLOWED = "run/"


@dataclass(frozen=True)
class Cut:
    """An answer that was cut, and the conversation before and with it."""

    run_id: str
    before: list[Any]
    messages: list[Any]

    def answered_by(self, run_id: str) -> list[Any]:
        """The conversation without the cut answer, whose question another run answers."""
        return [*self.before[:-1], {**self.before[-1], "metadata": {"id": f"{_FOLLOWED}{run_id}"}}]


def run_to_follow(question: Mapping[str, Any]) -> str | None:
    """The run that goes on with the answer to a question; None where the question is to be asked."""
    said = id_of(question)
    return said.removeprefix(_FOLLOWED) if said.startswith(_FOLLOWED) else None


def message(role: str, text: str, metadata: Mapping[str, Any] | None = None) -> Message:
    """A message in the form in which Gradio leaves its text alone; a plain str would be cleaned up."""
    return _message(role, {"type": "text", "text": text}, metadata)


def note(title: str, text: str, **metadata: Any) -> Message:
    """A message with a title, which is shown folded, and which a chain is not told."""
    return message("assistant", text, {"title": title, **metadata})


def question_messages(asked: Asked, metadata: Mapping[str, Any] | None = None) -> list[Message]:
    """The messages of a question, one for each image: of a message that is edited Gradio keeps the text alone."""
    images = [_message("user", {"type": "file", "file": file, "alt_text": None}) for file in asked["files"]]
    return [*images, *([message("user", asked["text"], metadata)] if asked["text"] else [])]


def _message(role: str, part: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> Message:
    return {"role": role, "content": [part], "metadata": dict(metadata) if metadata else None, "options": None}


def asked_of(value: Any) -> Asked:
    """The question in a message box, or that a text asks."""
    if isinstance(value, Mapping):
        return {"text": str(value.get("text") or ""), "files": list(value.get("files") or ())}
    return {"text": value if isinstance(value, str) else "", "files": []}


def conversation(messages: Iterable[Any]) -> list[dict[str, Any]]:
    """The messages of a chatbot as a chain should know them: roles and texts, or parts where there are images.

    Without notes, empty messages, and what was asked and answered in the middle of an answer. An image is a part
    `{"type": "file", "file": …}` of the question that it was sent with.
    """
    found: list[dict[str, Any]] = []
    files: list[Any] = []
    said_in: Any = None
    for each in messages:
        if not isinstance(each, Mapping) or (each.get("metadata") or {}).get("title") or _is_aside(each):
            continue
        role, text = str(each.get("role")), text_of(each)
        files += files_of(each) if role == "user" else ()
        if not text or role not in ("user", "assistant"):
            continue
        before, said_in = said_in, id_of(each) or said_in
        if role == "assistant" and files:
            found.append(_with_files("", files))
            files = []
        if found and found[-1]["role"] == role == "assistant" and before in (None, said_in):
            found[-1]["content"] += text  # the parts of one message
        elif files:
            found.append(_with_files(text, files))
            files = []
        else:
            found.append({"role": role, "content": text})
    return [*found, *([_with_files("", files)] if files else [])]


def _with_files(text: str, files: Sequence[Any]) -> dict[str, Any]:
    texts = [{"type": "text", "text": text}] if text else []
    return {"role": "user", "content": [*texts, *({"type": "file", "file": file} for file in files)]}


def is_answer(each: Mapping[str, Any]) -> bool:
    """True if a message answers the question of a graph."""
    return id_of(each) == ANSWER["id"]


def _is_aside(each: Mapping[str, Any]) -> bool:
    return id_of(each) in (QUESTION["id"], ANSWER["id"])


def id_of(each: Mapping[str, Any]) -> str:
    """The id in a message's metadata: of its run, or what kind of message it is; empty where there is none."""
    return str((each.get("metadata") or {}).get("id") or "")


def text_of(each: Mapping[str, Any]) -> str:
    """The text of a message of a chatbot, whatever form it has."""
    texts = (part.get("text") if isinstance(part, Mapping) else part for part in _parts(each))
    return "".join(text for text in texts if isinstance(text, str))


def files_of(each: Mapping[str, Any]) -> list[Any]:
    """The files of a message of a chatbot."""
    return [part["file"] for part in _parts(each) if isinstance(part, Mapping) and part.get("file")]


def _parts(each: Mapping[str, Any]) -> list[Any]:
    content = each.get("content")
    return content if isinstance(content, list) else [content]


def last_question(history: Any) -> tuple[Asked, list[Any]]:
    """The last question, and the conversation before it."""
    messages = list(history or ())
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].get("role") == "user" and not _is_aside(messages[index]):
            if files := files_of(messages[index]):  # a question of images alone
                return _with_images("", messages[:index], files)
            return _with_images(text_of(messages[index]), messages[:index])
    return asked_of(""), messages


def _with_images(text: str, before: list[Any], files: Sequence[Any] = ()) -> tuple[Asked, list[Any]]:
    """The question that a text is, with the images above it."""
    found = list(files)
    while before and before[-1].get("role") == "user" and (above := files_of(before[-1])):
        found[:0] = above
        before = before[:-1]
    return {"text": text, "files": found}, before


def edited(event: Any, history: Any) -> tuple[Asked, list[Any]]:
    """The question with its new text, and the conversation before it."""
    index = event.index[0] if isinstance(event.index, list | tuple) else event.index
    return _with_images(asked_of(event.value)["text"], list(history or ())[:index])


def chosen_example(event: Any, history: Any) -> tuple[Asked, Any]:
    """The question of an example, and the conversation before it."""
    return asked_of(event.value.get("text")), history


def chosen_option(event: Any, history: Any) -> tuple[Asked | Cut, Any]:
    """The question that an offered option asks, and the conversation before it; or the answer it goes on with."""
    if event.value == CONTINUE:
        return _cut(list(history or ())) or asked_of(""), history
    return asked_of(event.value), history


def _cut(messages: list[Any]) -> Cut | None:
    """The last answer; None where its run can't be told."""
    place = max((at for at, each in enumerate(messages) if each.get("role") == "user"), default=-1) + 1
    run_id = run_of(messages[place:])
    return Cut(run_id, messages[:place], messages) if run_id and place else None


def answer_around(messages: Sequence[Any], place: int) -> list[Any]:
    """The messages of the answer that this one belongs to: those of the assistant without a question between."""
    first, after = place, place
    while first and messages[first - 1].get("role") == "assistant":
        first -= 1
    while after < len(messages) and messages[after].get("role") == "assistant":
        after += 1
    return list(messages[first:after])


def run_of(answer: Sequence[Any]) -> str:
    """The run of an answer's messages; empty where none of them tells it."""
    names = (id_of(each).partition("/")[0] for each in reversed(answer) if not _is_aside(each))
    return next(filter(None, names), "")


def without_options(each: Any) -> Any:
    """A message without options to choose: only the last one of a chat offers some."""
    return {**each, "options": None} if isinstance(each, dict) else each


def settled(messages: Iterable[Message]) -> list[Message]:
    """Messages of an answer to which nothing will come any more: nothing waits in them."""
    found = []
    for each in messages:
        metadata = each.get("metadata") or {}
        if metadata.get("status") != "pending":
            found.append(each)
        elif text_of(each):
            found.append({**each, "metadata": {**metadata, "status": "done"}})
    return found
