"""The sender of a question: who asks, by which request, and how that is known again if it comes twice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydantic import BaseModel
from starlette.requests import HTTPConnection
from starlette.types import Scope

from llmstream.http.audience import CALLER


@dataclass(frozen=True)
class Asker:
    """The sender of a question.

    caller: "" where callers are not told apart. request: None where a run is no request's, as in a Gradio page. key:
    starts at most one run of the caller's. fingerprint: the same text for the same request, to tell another one under
    its key.
    """

    caller: str
    request: HTTPConnection | None = None
    key: str | None = None
    fingerprint: str = ""

    @classmethod
    def of(
        cls,
        request: HTTPConnection,
        key: str | None = None,
        body: BaseModel | None = None,
        *,
        exclude: set[str] | None = None,
    ) -> Asker:
        """The sender of a request; exclude: the fields of its body that are others each time it is sent."""
        text = "" if key is None or body is None else body.model_dump_json(exclude=exclude)
        return cls(request.scope[CALLER], request, key, hashlib.sha256(text.encode()).hexdigest() if text else "")

    @property
    def scope(self) -> Scope | None:
        """The scope of the request."""
        return None if self.request is None else self.request.scope
