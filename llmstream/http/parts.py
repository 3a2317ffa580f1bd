"""The parts of a message (texts, images, files, calls, results), as `core.question.question.to_messages` takes them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from llmstream.errors import CapabilityMissing, InvalidRequest
from llmstream.untrusted_json import check_numbers

Message = dict[str, Any]
Sent = TypeVar("Sent")

# Beside text/*: files that a model can read as they are.
_TEXT_TYPES = frozenset(
    f"application/{kind}"
    for kind in ("json", "xml", "yaml", "x-yaml", "toml", "javascript", "typescript", "sql", "x-sh", "x-ndjson", "csv")
)
_TEXT_ENDS = ("+json", "+xml", "+yaml")


def in_turns(messages: Sequence[Sent], role_of: Callable[[Sent], object]) -> Iterator[tuple[Sent, bool]]:
    """Each message, and whether it is of the current turn, which begins with the last one that a user wrote.

    role_of: the role of a message as its client sends it, "user" for a user's.
    """
    turn = max((place for place, each in enumerate(messages) if role_of(each) == "user"), default=0)
    return ((each, place >= turn) for place, each in enumerate(messages))


def parts_of(content: object) -> Sequence[Any]:
    """The parts of a content that its client may send as a text, as parts, or as one part alone.

    Raises `InvalidRequest` for what is none of these.
    """
    match content:
        case None:
            return []
        case str():
            return [text_part(content)]
        case list():
            return content
        case Mapping():
            return [content]
    raise InvalidRequest(f"The content of a message must be a text or a list of parts, not {content!r:.40}.")


def content_of(parts: Sequence[Any], read: Callable[[Any], Message | None], *, is_current: bool) -> str | list[Message]:
    """A message's content: a text with a line end between its parts, or parts where there are images.

    read: from a part as its client sends it to `text_part`, `image_part` or `file_part`; None leaves it out.
    is_current: whether the message belongs to the current turn. What can't be read is refused there; in an earlier
    message, which is sent again with each question, a note stands in its place.
    """
    made = [part for each in parts if (part := _read(each, read, is_current)) is not None]
    if all(part["type"] == "text" for part in made):
        return "\n".join(part["text"] for part in made)
    return made


def _read(part: Any, read: Callable[[Any], Message | None], is_current: bool) -> Message | None:
    try:
        return read(part)
    except InvalidRequest:
        if is_current:
            raise
        return text_part("[Something that can't be read here was left out.]")


def unreadable_part(part: Any) -> InvalidRequest:
    """The error for a part of a message that nobody here can read."""
    kind = str(part.get("type") if isinstance(part, Mapping) else part)
    return InvalidRequest(f"A content part of the type {kind[:40]!r} can't be read here; text and images can.")


def text_part(text: str) -> Message:
    """A piece of text in a message."""
    return {"type": "text", "text": text}


def image_part(url: str) -> Message:
    """An image in a message; raises `CapabilityMissing` for a link, which nobody here follows."""
    if not url.startswith("data:"):
        raise CapabilityMissing("Images are taken as data: URLs only; links are not followed.")
    return {"type": "image_url", "image_url": {"url": url}}


def file_part(url: str, media_type: str = "", name: str = "") -> Message:
    """A file in a message: an image, or the text of a text file under its name.

    media_type: that of the `data:` URL where none is given. Raises `InvalidRequest` for what no model here can read.
    """
    head, _, data = url.removeprefix("data:").partition(",")
    kind = (media_type or head if url.startswith("data:") else media_type).partition(";")[0].strip().lower()
    if kind.startswith("image/"):
        return image_part(url)
    if not (kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(_TEXT_ENDS)):
        raise CapabilityMissing(f"Files of the type {kind[:40]!r} can't be read here; text and images can.")
    if not url.startswith("data:"):
        raise CapabilityMissing("Files are taken as data: URLs only; links are not followed.")
    text = _decoded(data, is_base64=head.endswith(";base64"), name=name)
    return text_part(f"{name}:\n{text}" if name else text)


def _decoded(data: str, *, is_base64: bool, name: str) -> str:
    try:
        raw = base64.b64decode("".join(data.split()), validate=True) if is_base64 else unquote_to_bytes(data)
        return raw.decode("utf-8-sig")
    except ValueError:
        raise InvalidRequest(f"The file {name[:80]!r} can't be read: its text is not UTF-8 in base64.") from None


def call_of(id: object, name: object, arguments: object) -> Message:
    """A call that an earlier answer made; arguments: an object or its JSON, nothing where there are none.

    Raises `InvalidRequest` for arguments that are something else.
    """
    value = arguments
    if isinstance(value, str):
        try:
            value = json.loads(value, strict=False) if value.strip() else None
        except (ValueError, RecursionError):
            value = arguments
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"The arguments of the call of {str(name)[:80]!r} must be a JSON object.")
    check_numbers(value, "A tool call")
    function = {"name": str(name or ""), "arguments": json.dumps(value)}
    return {"id": str(id or ""), "type": "function", "function": function}


def result_of(id: object, content: str | list[Message]) -> Message:
    """The result of a tool; id: of the call, None where its client does not say, or sends the call no more."""
    return {"role": "tool", "tool_call_id": str(id or ""), "content": content}


def written(value: object) -> str:
    """A value that a tool gave, as the model reads it: a text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    check_numbers(value, "A tool's result")
    return json.dumps(value, ensure_ascii=False)  # a model reads letters, not their numbers


def answer_of(text: object, calls: Sequence[Message] = (), thoughts: str = "") -> Message:
    """An earlier answer; thoughts: those before its calls, which the model goes on from within a turn."""
    message: Message = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = list(calls)
    if thoughts:
        message["reasoning_content"] = thoughts  # by this name LangChain's chat models know it
    return message


def tool_of(name: str, description: str | None, parameters: object) -> Message:
    """A tool that the client has."""
    schema = parameters if isinstance(parameters, Mapping) and parameters else {"type": "object", "properties": {}}
    return {"type": "function", "function": {"name": name, "description": description or "", "parameters": schema}}
