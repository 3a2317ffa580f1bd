"""The limits that the settings set to a request: the length of a question, the models, the options."""

from __future__ import annotations

from collections.abc import Iterable

from llmstream.errors import BodyTooLarge, InvalidRequest, LlmstreamError, ModelNotAllowed
from llmstream.ollama.names import is_cloud, same_model
from llmstream.settings import Settings


def check(settings: Settings, *, texts: Iterable[str], model: str | None, options: Iterable[str]) -> None:
    """Raises what the settings do not allow: a question (all its texts together) too long, a model, an option."""
    if sum(len(text.encode("utf-8", "replace")) for text in texts) > settings.max_question_bytes:
        raise BodyTooLarge(
            f"The question is longer than {settings.max_question_bytes} bytes. Shorten it, "
            "or raise LLMSTREAM_MAX_QUESTION_BYTES."
        )
    if model is not None:
        check_model(model, settings)
    for name in options:
        if name not in settings.allowed_options:
            raise InvalidRequest(
                f"The option {name[:40]!r} is not allowed here; allowed are {', '.join(settings.allowed_options)}."
            )


def check_conversation(settings: Settings, texts: Iterable[str]) -> None:
    """Raises `BodyTooLarge` where all texts of a conversation are longer than a request without images may be."""
    if sum(map(len, texts)) > settings.max_body_bytes:
        raise BodyTooLarge(
            f"The texts are longer than {settings.max_body_bytes} bytes. Leave out earlier messages, "
            "or raise LLMSTREAM_MAX_BODY_BYTES."
        )


def check_model(name: str, settings: Settings) -> None:
    """Raises `ModelNotAllowed` for a model that a client may not ask for, `InvalidRequest` for what is an address."""
    if "://" in name:
        raise InvalidRequest("A model has a name, not an address: GET /models lists those that can be asked for.")
    allowed = settings.allowed_models
    if any(same_model(name, each) for each in allowed) or not (allowed or is_cloud(name)):
        return
    raise ModelNotAllowed(f"The model {name[:80]!r} is not allowed here. GET /models lists those that are.")


def is_allowed(name: str, settings: Settings) -> bool:
    """True if a client may ask for a model; see `check_model`."""
    try:
        check_model(name, settings)
    except LlmstreamError:
        return False
    return True
