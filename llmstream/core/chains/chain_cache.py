"""The results of looking at a chain, kept as long as the chain is."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, cast

from langchain_core.runnables import Runnable

from llmstream.chain.shared_state import twin

T = TypeVar("T")
_CHAINS_KEPT = 64
_ITSELF = object()


@dataclass(slots=True)
class _Known:
    """The result for a chain; is_used: since it was last looked at for a place to free."""

    chain: weakref.ref[Runnable[Any, Any]]
    found: Any
    is_used: bool = False


class ByChain(Generic[T]):
    """A cache of `find`'s results for the chains that live and are in use: finding takes long, and a chain is not
    changed.

    `find` is given a twin of the chain, since a result that held the chain would keep it, and what it was made with,
    such as one request's options.
    """

    def __init__(self, find: Callable[[Runnable[Any, Any]], T]) -> None:
        self._find = find
        self._known: dict[int, _Known] = {}
        self._lock = threading.RLock()  # chains are run in any thread's event loop, and go at any time

    def get(self, chain: Runnable[Any, Any]) -> T:
        """The result of `find` for a chain."""
        known = self._known.get(id(chain))
        if known is not None and known.chain() is chain:
            known.is_used = True
            result: Any = chain if known.found is _ITSELF else known.found
            return result  # type: ignore[no-any-return]
        try:
            other = twin(chain, type(chain))
        except (TypeError, AttributeError):
            return self._find(chain)
        found: Any = self._find(other)
        self._keep(chain, _ITSELF if found is other else found)
        return cast("T", chain if found is other else found)

    def _keep(self, chain: Runnable[Any, Any], found: Any) -> None:
        with self._lock:
            while len(self._known) >= _CHAINS_KEPT:
                oldest = next(iter(self._known))
                known = self._known.pop(oldest, None)
                if known is not None and known.is_used:
                    known.is_used, self._known[oldest] = False, known
            self._known[id(chain)] = _Known(weakref.ref(chain, partial(self._drop, id(chain))), found)

    def _drop(self, key: int, gone: weakref.ref[Runnable[Any, Any]]) -> None:
        with self._lock:
            if (known := self._known.get(key)) is not None and known.chain is gone:
                del self._known[key]
