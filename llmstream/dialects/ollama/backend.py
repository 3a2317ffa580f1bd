"""The backend of Ollama's API over a chain, or over the default chain's models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from llmstream.dialects.ollama.encoder import OllamaEncoder
from llmstream.dialects.ollama.request import HARDWARE, LIMITS, ask_of
from llmstream.errors import LlmstreamError, ModelNotFound
from llmstream.http.asker import Asker
from llmstream.http.errors import status_of
from llmstream.http.service import Service
from llmstream.ollama_server.backend import AnswerChunk, ChatRequest, Model, OllamaError, PullProgress
from llmstream.ollama_server.checks import full_name
from llmstream.ollama_server.stop_sequences import limited
from llmstream.openai.upstream_from_settings import upstream_of
from llmstream.runs.input_limits import check_model

# A chain does not say how much it can read; nothing is refused for being too long before Ollama has seen it.
_CONTEXT = 2**20


class ChainBackend:
    """The chain under its name, or the models of the default chain, for one request; see `Backend`."""

    def __init__(self, service: Service, request: HTTPConnection) -> None:
        self._service = service
        self._request = request

    async def models(self) -> Sequence[Model]:
        """The models that a client may ask for."""
        found = [await self.find(full_name(name)) for name in await self._service.models()]
        return [model for model in found if model is not None]

    async def find(self, name: str) -> Model | None:
        """The model of a full name; raises `LlmstreamError` for one that may not be asked for."""
        if self._service.chain is not None:
            known = name == full_name(self._service.name)
            return Model(name, context_length=_CONTEXT, is_strict=False) if known else None
        check_model(name, self._service.runs.limits)
        try:
            upstream = await upstream_of(self._service.runs.settings)
            able = await upstream.capabilities(name)
        except ModelNotFound:
            return None
        return Model(name, tuple(sorted(able)), context_length=_CONTEXT)

    def chat(self, request: ChatRequest) -> AsyncGenerator[AnswerChunk, None]:
        """The answer, chunk by chunk; closing this stops the run, because this client can't come back."""
        chunks = self._chunks(request)
        return chunks if self._service.chain is None else limited(chunks, request.options)

    async def _chunks(self, request: ChatRequest) -> AsyncGenerator[AnswerChunk, None]:
        try:
            model = await self.find(full_name(request.model))
            takes_think = model is not None and ("thinking" in model.capabilities or not model.is_strict)
            if self._service.chain is None:
                left_out = HARDWARE - set(self._service.runs.limits.allowed_options)
            else:
                left_out = HARDWARE | LIMITS  # which `limited` keeps
            ask = ask_of(request, takes_think=takes_think, left_out=left_out)
            run = await self._service.start(ask, Asker.of(self._request), grace_s=0)
            follower = run.follower()
            try:
                encoder = OllamaEncoder(truncate=request.truncate)
                async for batch in follower:
                    for chunk in encoder.encode(batch.events):
                        yield chunk
            finally:
                follower.close()
        except LlmstreamError as error:
            raise OllamaError(error.message, status=status_of(error, bad_request=400)) from error
        except HTTPException as error:  # of the server's `prepare`
            raise OllamaError(str(error.detail), status=error.status_code) from error

    async def pull(self, name: str) -> AsyncGenerator[PullProgress, None]:
        """Refuses: no model can be pulled from here."""
        raise OllamaError("models are not pulled through this server, but where its Ollama runs", status=403)
        yield PullProgress("")
