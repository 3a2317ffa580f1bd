"""The images of a question: from files, bytes, PIL images, matplotlib figures or data: URLs to parts of a message."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import Runnable
from langchain_core.runnables.configurable import DynamicRunnable

from llmstream.chain.chat_model import StrictChatOllama
from llmstream.chain.strict_model import strict_of
from llmstream.core.chains.inspection import is_graph, steps, unbound
from llmstream.core.question.inputs import takes_messages
from llmstream.errors import BodyTooLarge, CapabilityMissing, InvalidRequest, LlmstreamError
from llmstream.settings import Settings

_TAKES = "a path, bytes, a PIL image, a matplotlib figure or a data: URL"

# What the formats begin with; a WebP has its name behind the length of the file.
_BEGINNINGS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif"}


def image_url(image: Any) -> str:
    """An image as a data: URL; raises `InvalidRequest` for what is no PNG, JPEG, WebP or GIF, or can't be read.

    image: a path, bytes, a PIL image, a matplotlib figure or a data: URL.
    """
    if isinstance(image, str) and image.startswith("data:"):
        return image
    if isinstance(image, str) and image.startswith(("http://", "https://")):
        raise InvalidRequest(f"Links to images are not followed: download it, and give {_TAKES}.")
    raw, name = _bytes_of(image)
    kind = next((kind for beginning, kind in _BEGINNINGS.items() if raw.startswith(beginning)), None)
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        kind = "webp"
    if kind is None:
        raise InvalidRequest(f"{name} is no image that models take: PNG, JPEG, WebP and GIF are.")
    return f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"


def _bytes_of(image: Any) -> tuple[bytes, str]:
    """The bytes of an image's file, and what to call it in an error."""
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image), "What was given as an image"
    if isinstance(image, str | Path):
        try:
            return Path(image).expanduser().read_bytes(), f"{str(image)[:200]!r}"
        except (OSError, ValueError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InvalidRequest(f"The image {str(image)[:200]!r} can't be read: {reason}.") from None
    buffer = io.BytesIO()
    if callable(getattr(image, "savefig", None)):  # a matplotlib figure, which knows where its drawing ends
        image.savefig(buffer, format="png", bbox_inches="tight")
    elif callable(getattr(image, "save", None)) and hasattr(image, "getbands"):
        image.save(buffer, format="PNG")
    else:
        raise InvalidRequest(f"An image is {_TAKES}, got {type(image).__name__}.")
    return buffer.getvalue(), "The image"


def parts_of(text: str, images: Sequence[Any]) -> list[dict[str, Any]]:
    """The content of a message with a text, where there is one, and images."""
    if isinstance(images, str | bytes) or not isinstance(images, Sequence):
        raise InvalidRequest(f"images is a list; each of them is {_TAKES}.")
    texts = [{"type": "text", "text": text}] if text else []
    return [*texts, *({"type": "image_url", "image_url": {"url": image_url(image)}} for image in images)]


def with_images(messages: Sequence[BaseMessage], images: Sequence[Any]) -> list[BaseMessage]:
    """The messages, with images behind the text of the last one; raises `InvalidRequest` where nobody asks with it."""
    if not messages or not isinstance(messages[-1], HumanMessage):
        raise InvalidRequest("Images go with a question: the last message has to be the user's.")
    last = messages[-1]
    before = [] if isinstance(last.content, str) else list(last.content)
    content: Any = [*before, *parts_of(last.content if isinstance(last.content, str) else "", images)]
    return [*messages[:-1], last.model_copy(update={"content": content})]


def image_bytes(messages: Sequence[BaseMessage]) -> int:
    """The size of all images, as they are sent: in base64."""
    return sum(len(_url(part)) for message in messages for part in _parts(message) if _is_image(part))


async def check_images(chain: Runnable[Any, Any], messages: Sequence[BaseMessage], settings: Settings) -> None:
    """Raises `BodyTooLarge` for images beyond the limit, `CapabilityMissing` where every model in sight is blind.

    A chain may have models for other things, which see no image; and where a chain hides its model, it alone can tell.
    """
    if not (size := image_bytes(messages)):
        return
    if size > settings.max_image_bytes:
        raise BodyTooLarge(
            f"The images have {size} bytes in base64, and {settings.max_image_bytes} are taken. Send fewer or smaller "
            "ones, or raise LLMSTREAM_MAX_IMAGE_BYTES."
        )
    if missing := await _blindness(chain):
        raise missing


def shows_model(chain: Runnable[Any, Any]) -> bool:
    """True if a chain takes messages, and shows a chat model of Ollama that is asked with them."""
    return takes_messages(chain) and bool(_models(chain))


async def takes_images(chain: Runnable[Any, Any]) -> bool:
    """True if a chain shows that it takes images: messages, for a model that sees."""
    return shows_model(chain) and await _blindness(chain) is None


async def may_take_images(chain: Runnable[Any, Any]) -> bool:
    """True if a chain is given images, and shows no model or one that sees them: a function may have one inside."""
    return takes_messages(chain) and await _blindness(chain) is None


async def _blindness(chain: Runnable[Any, Any]) -> CapabilityMissing | None:
    """The error of a chain of which every model in sight is blind."""
    missing: CapabilityMissing | None = None
    for model in [] if _is_chosen_late(chain) else _models(chain):
        try:
            await model.upstream().check_able(model.model, "vision")
            return None
        except CapabilityMissing as error:
            missing = missing or error
        except LlmstreamError:  # the chain will tell by itself, or has another model to fall back on
            return None
    return missing


def _models(chain: Runnable[Any, Any]) -> list[StrictChatOllama]:
    """The chat models of Ollama that a chain shows, also in the nodes of a graph."""
    found: list[StrictChatOllama] = []
    for step in steps(chain):
        if is_graph(step):
            nodes: Mapping[str, Any] = getattr(unbound(step), "nodes", {})
            found += [model for node in nodes.values() for model in _models(node.bound)]
        elif isinstance(strict := strict_of(step), StrictChatOllama):
            found.append(strict)
    return found


def _is_chosen_late(chain: Runnable[Any, Any]) -> bool:
    """True if another model than the one that is written may answer."""
    return any(isinstance(step, DynamicRunnable) or "model" in getattr(step, "kwargs", ()) for step in steps(chain))


def _parts(message: BaseMessage) -> Sequence[Any]:
    return message.content if isinstance(message.content, list) else ()


def _is_image(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "image_url"


def _url(part: Mapping[str, Any]) -> str:
    image = part.get("image_url")
    return str((image.get("url") if isinstance(image, Mapping) else image) or "")
