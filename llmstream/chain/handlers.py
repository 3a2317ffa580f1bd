"""The listeners of a model: where only llmstream listens, tokens that are ready together travel together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import get_debug
from langchain_core.language_models import BaseLanguageModel
from langchain_core.runnables.config import RunnableConfig, ensure_config
from langchain_core.utils.env import env_var_is_set

from llmstream.ollama.chunks import Chunk
from llmstream.ollama.waiting import Notify, ignore

# Where a model tells what it had to do to the prompt, for the generator that runs the chain.
notify_status: ContextVar[Notify] = ContextVar("notify_status", default=ignore)


class GroupListener(BaseCallbackHandler):
    """A listener that needs no token by itself, and takes chunks straight from a model that is invoked."""

    def heard(self, run_id: UUID, chunks: Sequence[Chunk], *, thinking: bool) -> None:
        """These chunks came together; thinking: whether it was asked for."""
        raise NotImplementedError


def group_listeners(run_manager: Any) -> list[GroupListener]:
    """Those who listen to a run, where nobody else does."""
    handlers = run_manager.handlers if run_manager is not None else ()
    found = [handler for handler in handlers if isinstance(handler, GroupListener)]
    return found if len(found) == len(handlers) else []


def is_heard_in_groups(model: BaseLanguageModel[Any], config: RunnableConfig | None) -> bool:
    """True if a model that streams with this config is heard by llmstream, and by nobody else."""
    handlers = handlers_in(ensure_config(config))
    others = [handler for handler in handlers if not isinstance(handler, GroupListener)]
    return len(others) < len(handlers) and not is_observed(model, others)


def handlers_in(config: Mapping[str, Any]) -> Sequence[Any]:
    """The handlers of a config, whose callbacks are a list, or a manager."""
    callbacks = config.get("callbacks")
    found: Iterable[Any] = getattr(callbacks, "handlers", callbacks) or ()
    return list(found)


def goes_its_own_way(model: BaseLanguageModel[Any]) -> bool:
    """True if LangChain does more for a model than ask it and hand on the answer, or tells somebody of it."""
    names = ("callbacks", "verbose", "cache", "rate_limiter", "disable_streaming")
    return any(getattr(model, name, None) for name in names)


def is_observed(model: BaseLanguageModel[Any], handlers: Sequence[Any]) -> bool:
    """True if one of these handlers, a callback of the model's own, or a tracer would hear of a call.

    Looks where LangChain looks for them (`_configure` in langchain_core/callbacks/manager.py), but makes no callback
    manager, which would take a third of the time until a question is on its way.
    """
    return bool(handlers or model.callbacks or model.verbose) or is_traced()


def is_traced() -> bool:
    """True if somebody listens to all that LangChain runs here."""
    from langchain_core.tracers.context import _configure_hooks, _tracing_v2_is_enabled  # brings in langsmith, 130 ms

    hooks = (var.get() is not None or (name and env_var_is_set(name)) for var, _, _, name in _configure_hooks)
    return get_debug() or bool(_tracing_v2_is_enabled()) or any(hooks)
