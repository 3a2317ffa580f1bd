"""The client for async code."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, TypeAlias

import aiohttp

from llmstream import sse
from llmstream.client import faults
from llmstream.errors import LlmstreamError, StoreUnavailable
from llmstream.events import Event, Reset, from_dict, is_terminal

# A question; messages; or None where a graph goes on with what a person answered.
Question: TypeAlias = str | Sequence[Mapping[str, Any]] | None

# Three heartbeats' silence: the connection is dead, whatever TCP says.
_SILENCE_S = 45.0
_RETRY_S = (0.2, 0.5, 1, 2, 4, 8)
# A server whose store is away is asked again for so long: a failover takes half a minute.
_STORE_S = 60.0


class AsyncClient:
    """Talks to the server at `url`, the address under which its router is mounted.

    token: the server's LLMSTREAM_TOKEN, if it has one. headers: sent with every request.
    Raises `SettingsError` for a `url` that is no address; each method `UpstreamUnreachable` where no server answers.
    """

    def __init__(self, url: str, *, token: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        self.url = faults.checked_url(url)
        self._headers = {**(headers or {}), **({"authorization": f"Bearer {token}"} if token else {})}

    async def start(self, question: Question, **fields: Any) -> str:
        """Starts a run for a question or messages, or None with `resume`; returns the run's id.

        fields: `context`, `model`, `thinking`, `options`, `thread`, `resume`, `on_leave` and `request_id` of the
        server's `POST /runs`.
        Asking is repeated after a lost connection: the request has a key, so it starts at most one run.
        Raises the `LlmstreamError` that the server refused with, or `UpstreamUnreachable`.
        """
        asked = {"question": question} if isinstance(question, str) else {"messages": list(question or ()) or None}
        body = {"request_id": secrets.token_hex(16), **asked, **fields}
        return await self._start("/runs", json={name: value for name, value in body.items() if value is not None})

    async def continue_run(self, run_id: str) -> str:
        """Starts a run that begins with what a run said that was cut, and goes on from there; returns its id.

        Raises `InvalidRequest` with why that can't be done, `StillRunning`, and what `start` raises.
        """
        return await self._start(f"/runs/{run_id}/continue", headers={"idempotency-key": secrets.token_hex(16)})

    async def _start(self, path: str, **request: Any) -> str:
        pauses, until = iter(_RETRY_S[:2]), time.monotonic() + _STORE_S
        while True:
            try:
                async with self._request("POST", path, **request) as got:
                    return await self._run_id(got)
            except StoreUnavailable as error:
                if time.monotonic() > until:
                    raise
                pause_s: float = error.retry_after_s
            except (aiohttp.ClientError, OSError) as error:
                pause_s = next(pauses, 0.0)
                if not pause_s:
                    raise faults.unreachable(self.url, error) from None
            await asyncio.sleep(pause_s)

    async def follow(self, run_id: str, after: int = 0) -> AsyncGenerator[Event, None]:
        """The events of a run after number `after`, up to the terminal one, each once, through any number of cuts.

        Ends with `Reset` where the server can't go on from there. Raises `RunNotFound`, or `UpstreamTruncated` when
        the server stays away.
        """
        failures, reached_at = 0, time.monotonic()
        while True:
            before, cut, silent = after, None, False
            try:
                async with aclosing(self._connection(run_id, after)) as numbered:
                    async for seq, event in numbered:
                        if seq is not None and seq <= after:
                            continue
                        after = after if seq is None else seq
                        yield event
                        if is_terminal(event) or isinstance(event, Reset):
                            return
            except _NothingMore:
                return
            except aiohttp.SocketTimeoutError:
                silent = True  # which is no failure where the server's heartbeat is a slow one
            except (aiohttp.ClientError, OSError) as error:
                cut = error
            if after > before:
                failures, reached_at = 0, time.monotonic()
            elif _is_store(cut) and time.monotonic() - reached_at < _STORE_S:
                failures = min(failures, 3)
            elif not silent:
                failures += 1
            if failures >= len(_RETRY_S):
                raise faults.lost(self.url, cut) from None
            await asyncio.sleep(_RETRY_S[failures] * random.uniform(0.5, 1))

    async def stop(self, run_id: str) -> bool:
        """Ends a run; False where it had ended."""
        async with self._once("POST", f"/runs/{run_id}/stop") as got:
            return got.status == 202

    async def snapshot(self, run_id: str) -> dict[str, Any]:
        """A run as it is now: `run_id`, `state`, `text`, `last_id`, `model`, `usage`, `timings`, `error`,
        `interrupts`, `reason`.
        """
        async with self._once("GET", f"/runs/{run_id}") as got:
            return await self._object(got)

    async def stream_events(self, question: Question, **fields: Any) -> AsyncGenerator[Event, None]:
        """Starts a run and follows it as `stream_run` does. Arguments as for `start`."""
        async with aclosing(self.stream_run(await self.start(question, **fields))) as events:
            async for event in events:
                yield event

    async def stream_run(self, run_id: str) -> AsyncGenerator[Event, None]:
        """Follows a run; closing this before its end stops the run.

        Raises what `follow` raises, and `UpstreamTruncated` in place of its `Reset`.
        """
        ended = False
        try:
            async with aclosing(self.follow(run_id)) as events:
                async for event in events:
                    if isinstance(event, Reset):
                        raise faults.forgotten()
                    ended = is_terminal(event)
                    yield event
        finally:
            if not ended:
                # Where it can't be told, the server will notice that nobody follows.
                with suppress(LlmstreamError, aiohttp.ClientError, OSError):
                    await self.stop(run_id)

    @asynccontextmanager
    async def _once(self, method: str, path: str) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """The answer to a request that is not repeated; raises `UpstreamUnreachable` where there is none."""
        try:
            async with self._request(method, path) as got:
                yield got
        except _Away as away:
            raise away.error from None
        except (aiohttp.ClientError, OSError) as error:
            raise faults.unreachable(self.url, error) from None

    async def _object(self, got: aiohttp.ClientResponse) -> dict[str, Any]:
        try:
            fields = await got.json()
        except (ValueError, aiohttp.ContentTypeError):
            fields = None
        if not isinstance(fields, dict):
            raise faults.not_llmstream(self.url, "an answer that is no JSON object") from None
        return fields

    async def _run_id(self, got: aiohttp.ClientResponse) -> str:
        fields = await self._object(got)
        if "run_id" not in fields:
            raise faults.not_llmstream(self.url, "an answer that starts no run")
        return str(fields["run_id"])

    async def _connection(self, run_id: str, after: int) -> AsyncGenerator[tuple[int | None, Event], None]:
        decoder = sse.Decoder()
        headers = {"last-event-id": f"{run_id}-{after}"} if after else {}
        async with self._request("GET", f"/runs/{run_id}/events", headers=headers) as got:
            if got.status == 204:
                raise _NothingMore
            async for chunk in got.content.iter_any():
                for message in decoder.feed(chunk):
                    fields = json.loads(message.data)
                    event = from_dict(fields)
                    if event is not None:  # a type that this version does not know is no loss
                        yield fields.get("seq"), event

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=_SILENCE_S)
        async with (
            aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session,
            session.request(method, f"{self.url}{path}", headers=headers, **options) as got,
        ):
            if got.status >= 400:
                error = await faults.refusal(self.url, got)
                if method == "GET" and got.status in faults.NOBODY:  # a proxy whose server is being restarted
                    raise _Away(error, got.status)
                raise error
            yield got


class _Away(aiohttp.ClientConnectionError):
    """The answer of a server whose store can't be reached, or of a proxy without its server; asking again may help."""

    def __init__(self, error: LlmstreamError, status: int) -> None:
        super().__init__(f"status {status}")
        self.error = error


class _NothingMore(Exception):
    """The answer of a server that has told a run's events up to the end."""


def _is_store(cut: Exception | None) -> bool:
    return isinstance(cut, _Away) and isinstance(cut.error, StoreUnavailable)
