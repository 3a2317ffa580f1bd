"""A run's question as a store of several processes has it, so that any of them can go on with a cut answer.

Anybody who may write to the store may have written these bytes. So only what a client may send is taken from them: the
messages, and the wishes to the default chain, which the settings check. Which server is asked, and all else in the
request, is what this process's own chain says; it must come to the request that the answer was made from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Annotated, Any, Literal

import msgspec

from llmstream.chain import aopen_chain
from llmstream.core.direct import Fast, fast_again
from llmstream.core.generator import as_runnable
from llmstream.core.job import Job
from llmstream.core.question.question import question_text
from llmstream.errors import InvalidRequest
from llmstream.events import json_value
from llmstream.runs.continuing import NOT_OURS, Asked, Wishes, size_of_json
from llmstream.runs.input_limits import check
from llmstream.settings import Settings
from llmstream.untrusted_json import check_cost

# A larger one, which mostly is one with images, would fill the store, and hold up whoever waits for it.
MOST_BYTES = 2**20

_REFUSALS = {
    "chain": NOT_OURS,
    "large": (
        "This answer can't be continued here: its conversation, with its images, is larger than "
        f"{MOST_BYTES >> 20} MiB, so only the server process that began it knows it. Ask again."
    ),
}
_NOT_HERE = (
    "This answer can't be continued here: only the server process that began it knows the question, and that is "
    "another one, or has ended. Ask again."
)
_NOT_THE_SAME = (
    "This answer can't be continued here: this server process would ask another model, another model server or with "
    "other settings than the one that began it. Ask again."
)
_UNREADABLE = (
    "This answer can't be continued here: what the store has of its question is damaged, of another version of "
    "llmstream, or holds more than text and images. Ask again."
)


class _Stored(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question as it is stored; refused: why it is not, by its name in `_REFUSALS`. request: see `_digest`."""

    v: Literal[1]
    refused: Literal["", "chain", "large"] = ""
    messages: Sequence[dict[str, Any]] = ()
    request: str = ""
    wishes: Wishes = Wishes()
    thread: str | None = None
    grace_s: Annotated[float, msgspec.Meta(ge=0)] = 0
    chat: str = ""
    text: str = ""


_decoder = msgspec.json.Decoder(_Stored)


def stored(asked: Asked | None) -> bytes | None:
    """The question for the store, or why it is not there; None where the steps before the model still work on it."""
    if asked is None:
        return None
    if asked.job is None or asked.job.fast is None:
        return _refused("chain")
    if asked.body is None:
        return None
    if size_of_json(asked.body) > MOST_BYTES:
        return _refused("large")
    data = _encode(
        _Stored(
            v=1,
            messages=asked.body.get("messages", ()),
            request=_digest(asked.job.fast),
            wishes=asked.wishes,
            thread=asked.thread,
            grace_s=asked.grace_s,
            chat=asked.chat,
            text=question_text(asked.question),
        )
    )
    return data if len(data) <= MOST_BYTES else _refused("large")


async def asked_again(data: bytes | None, chain: object, settings: Settings, *, is_public: bool) -> Asked:
    """The question, to be asked by this process's own chain; raises `InvalidRequest` with why it can't be."""
    if data is None:
        raise InvalidRequest(_NOT_HERE)
    known = _decode(data)
    if known.refused:
        raise InvalidRequest(_REFUSALS[known.refused])
    wishes, model = known.wishes, known.wishes.model
    check(settings, texts=(), model=None if model == settings.model else model, options=wishes.options or ())
    given = msgspec.structs.asdict(wishes)
    runnable = as_runnable(chain) if chain is not None else await aopen_chain(settings, **given)
    fast = fast_again(runnable, known.messages)
    if fast is None or _digest(fast) != known.request:
        raise InvalidRequest(_NOT_THE_SAME if fast is not None else NOT_OURS)
    if not (fast.body or {}).get("messages", True):
        raise InvalidRequest(_UNREADABLE)
    job = Job(runnable, None, settings, fast.model, fast, ())
    grace_s = min(known.grace_s, max(settings.grace_s, settings.max_unwatched_s))
    return Asked(job, known.text or None, known.thread, grace_s, is_public, known.chat, wishes)


def _refused(why: Literal["chain", "large"]) -> bytes:
    return _encode(_Stored(v=1, refused=why))


def _digest(fast: Fast) -> str:
    """A digest of all in a request but what was said, and of the server that gets it: no name of a host is stored."""
    rest = {name: value for name, value in (fast.body or {}).items() if name not in ("messages", "prompt")}
    server = fast.upstream.endpoint.server.name, fast.upstream.address
    return blake2b(_encode([server, rest]), digest_size=16).hexdigest()


def _encode(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value, order="sorted")
    except (TypeError, ValueError, OverflowError, RecursionError):  # half an emoji in a text, say
        return msgspec.json.encode(json_value(value), order="sorted")


def _decode(data: bytes) -> _Stored:
    try:
        if len(data) > MOST_BYTES:
            raise InvalidRequest(_UNREADABLE)
        check_cost(data)
        known = _decoder.decode(data)
    except (msgspec.MsgspecError, InvalidRequest, RecursionError):
        raise InvalidRequest(_UNREADABLE) from None
    if not all(map(_is_message, known.messages)):
        raise InvalidRequest(_UNREADABLE)
    return known


def _is_message(message: Mapping[str, Any]) -> bool:
    """True for a message of text and of images as data: a server may follow links to where nobody else can."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    is_text = content is None or isinstance(content, str | list)
    return is_text and isinstance(message.get("role"), str) and all(map(_is_part, parts))


def _is_part(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else None
    return part.get("type") == "text" or (isinstance(url, str) and url.startswith("data:"))
