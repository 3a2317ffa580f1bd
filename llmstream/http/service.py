"""The chain as every dialect asks it: start a run, find it, follow it, go on with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from fastapi import Response

from llmstream.core.answer.demanded_call import DemandedCall
from llmstream.core.direct import can_go_on
from llmstream.core.generator import as_runnable, keeps_threads
from llmstream.core.question.images import may_take_images
from llmstream.core.question.inputs import Arguments
from llmstream.errors import InvalidRequest, LlmstreamError, ModelNotFound
from llmstream.http.ask import Ask
from llmstream.http.asker import Asker
from llmstream.http.audience import is_public
from llmstream.http.encoder import Encoder
from llmstream.http.errors import ErrorForm
from llmstream.http.ignored import IGNORED_HEADER, note_ignored
from llmstream.http.prepare import Prepare, Prepared, prepared
from llmstream.http.security import Identify
from llmstream.http.stream import EventStream, Followable, lost_response
from llmstream.logger import logger
from llmstream.ollama.names import same_model
from llmstream.openai.upstream_from_settings import upstream_of
from llmstream.runs.input_limits import check, check_conversation, is_allowed
from llmstream.runs.manager import Runs
from llmstream.runs.redacted_failures import plain_errors
from llmstream.runs.run import OnLeave, Run

# From a run's id, and the number of the last event that the client has, to what encodes the rest.
MakeEncoder = Callable[[str, int], Encoder]

_EVENT_ID = re.compile(r"([0-9a-z]{1,64})-(\d{1,9})")

# Of how many things the log tells: a client makes up their names.
_TOLD = 100


class Service:
    """The one chain, or the default one with its models, as every dialect asks it.

    name: what a chain is called where a client names a model. answer_nodes: see `astream`. prepare: makes what the
    chain is given with each request.
    """

    def __init__(
        self,
        runs: Runs,
        chain: object,
        *,
        name: str = "chain",
        identify: Identify | None = None,
        answer_nodes: Sequence[str] = (),
        prepare: Prepare | None = None,
    ) -> None:
        self.runs = runs
        self.chain = chain
        self.name = name
        self.identify = identify
        self.answer_nodes = tuple(answer_nodes)
        self._prepare = prepare
        if identify is not None:
            runs.identify = identify
        self._left_out: set[str] = set()  # what the log has told of

    @property
    def keeps_threads(self) -> bool:
        """True if the chain remembers, by the name of a thread, what was said before."""
        return self.chain is not None and keeps_threads(self.chain)

    async def takes(self) -> dict[str, bool]:
        """The wishes of a client that reach the model, and whether one to `continue` a cut answer may be granted."""
        if self.chain is None:
            return dict.fromkeys(("model", "thinking", "images", "continue"), True)
        chain = as_runnable(self.chain)
        images = await may_take_images(chain)
        return {"model": False, "thinking": False, "images": images, "continue": can_go_on(chain, self.answer_nodes)}

    async def models(self) -> list[str]:
        """The names that a client may ask for."""
        if self.chain is not None:
            return [self.name]
        upstream = await upstream_of(self.runs.settings)
        return [model.name for model in await upstream.models() if is_allowed(model.name, self.runs.settings)]

    async def start(
        self,
        ask: Ask,
        asker: Asker,
        *,
        grace_s: float | None = None,
        on_leave: OnLeave = "cancel",
        chat: str = "",
    ) -> Run:
        """Starts a run for a request; raises what makes it impossible.

        A chain of somebody's own is asked without what it can't be told; see `_for_chain`.
        """
        settings = self.runs.settings
        with plain_errors(public := is_public(settings, asker.scope)):
            ask = ask if self.chain is None else self._for_chain(ask)
            call = DemandedCall(ask.tools) if ask.must_call else None
            arguments = await self._arguments(ask, call, asker)
            arguments["settings"] = settings
            return await self.runs.start(
                None if ask.resume is not None else ask.messages if call is None else ask.after(call.instruction),
                caller=asker.caller,
                request_key=asker.key,
                fingerprint=asker.fingerprint,
                grace_s=grace_s,
                on_leave=on_leave,
                is_public=public,
                chat=chat,
                **arguments,
            )

    async def continue_run(self, run_id: str, asker: Asker) -> Run:
        """Starts a run that goes on with one that was cut, if `prepare` lets it; see `Runs.continue_run`."""
        with plain_errors(public := is_public(self.runs.limits, asker.scope)):
            await self._prepared(Ask(messages="", continues=run_id), asker)
            return await self.runs.continue_run(
                run_id, caller=asker.caller, request_key=asker.key, is_public=public, chain=self.chain
            )

    async def _arguments(self, ask: Ask, call: DemandedCall | None, asker: Asker) -> Arguments:
        """The arguments of the generator, checked against the settings; call: one that the answer has to be."""
        check(self.runs.limits, texts=[*ask.last_texts, ask.context or ""], model=ask.model, options=ask.options)
        check_conversation(self.runs.limits, ask.texts)
        made = await self._prepared(ask, asker)
        arguments: Arguments = {
            "context": ask.context,
            "model": ask.model,
            "thinking": ask.thinking,
            "options": ask.options,
            "tools": ask.tools if call is None else (),
            "format": ask.format if call is None else call.format,
            "demanded": call,
            "thread": made.get("thread", ask.thread),
            "inputs": made.get("inputs", {}),
            "config": made.get("config", {}),
            "resume": ask.resume,
        }
        if self.chain is not None:
            arguments["chain"] = self.chain
            arguments["answer_nodes"] = self.answer_nodes
        return arguments

    async def _prepared(self, ask: Ask, asker: Asker) -> Prepared:
        """The values that the chain is given with this request; raises `InvalidRequest` for some that nobody reads."""
        if self._prepare is not None:
            if asker.request is None:
                raise LlmstreamError("This chain is prepared for each request, and there is none.")
            return await prepared(self._prepare, asker.request, ask)
        if ask.inputs:
            raise InvalidRequest("This server takes no inputs: its chain is asked without any.")
        return {}

    def _for_chain(self, ask: Ask) -> Ask:
        """The request as a chain of a user can take it: the chain has one name, and decides by itself how to answer.

        What a client offers is left out, and it is told so; raises `InvalidRequest` for what it demands.
        """
        if ask.model is not None and not same_model(ask.model, self.name):
            raise ModelNotFound(f"There is no model {ask.model[:80]!r} here; there is {self.name!r}.")
        if demanded := ask.demanded():
            raise InvalidRequest(
                f"{demanded[0]} can't be honoured here: a chain of the server's own answers, and decides by itself "
                "in which form. Ask without it."
            )
        if offered := ask.offered():
            note_ignored(offered)
            self._tell(offered)
        return replace(ask, model=None, thinking=None, options={}, tools=())

    def _tell(self, offered: list[str]) -> None:
        """Tells the log what is left out, each thing once."""
        if new := [name for name in offered if name not in self._left_out and len(self._left_out) < _TOLD]:
            self._left_out.update(new)
            logger.warning(
                "%s: a client sent it, and the chain answers without it, since a chain of one's own decides by itself "
                "how to answer. The response's header %s tells the client.",
                ", ".join(f"{name:.40}" for name in new),
                IGNORED_HEADER,
            )

    def follow(
        self,
        run: Followable,
        encoder: Encoder,
        form: ErrorForm,
        *,
        hold: bool = True,
        after: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The run as a stream in the encoder's dialect.

        hold: whether the headers wait a moment for a failure that could have a status of its own. after: the number of
        the last event that the client has.
        """
        limits = self.runs.limits
        hold_s = limits.hold_s if hold else 0
        return EventStream(run, encoder, settings=limits, hold_s=hold_s, after=after, form=form, headers=headers)

    async def resume(
        self, last_event_id: str, caller: str, make: MakeEncoder, form: ErrorForm, *, run_id: str | None = None
    ) -> Response:
        """The rest of the run that `Last-Event-ID` names; raises `RunNotFound`.

        run_id: of the one run that it may be, where the client asks for one.
        """
        match = _EVENT_ID.fullmatch(last_event_id)
        asked = run_id or (match[1] if match else "")
        if asked:
            run = await self.runs.get(asked, caller=caller)
            if match is not None and match[1] == asked:
                return await self.go_on(run, int(match[2]), make, form)
        return lost_response(make(asked, 0), "invalid" if match is None else "other_run")

    async def go_on(self, run: Run, after: int, make: MakeEncoder, form: ErrorForm) -> Response:
        """The events after number `after` of a run, as a stream; 204 once there is nothing more."""
        if run.found is not None and (run.found.ended, run.found.last) == (True, after):  # it has just been looked for
            return Response(status_code=204)
        return self.follow(run, make(run.id, after), form, hold=False, after=after)
