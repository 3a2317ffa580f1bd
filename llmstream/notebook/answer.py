"""The answer that `show` returns, which a notebook shows once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llmstream.errors import LlmstreamError, error_from_code
from llmstream.errors.in_cell import line_of
from llmstream.events import Failed, Finished, FinishReason, Interrupt, Interrupted, Timings, Usage
from llmstream.notebook.kernel import request_id
from llmstream.notebook.markdown import answer_bundle
from llmstream.view.ending import EndState, end_state, why_incomplete
from llmstream.view.progress import Progress


@dataclass(frozen=True)
class Answer:
    """An answer that was shown.

    text, reasoning: exactly what the model wrote. output: the object that the answer is, where a `format` was asked for
    or the chain makes one; what a chain makes beside a text is there by its names; else None. usage, timings: tokens,
    and times in seconds; None unless it is finished, or asks something. run_id: of its run. state: whether it is
    complete, was stopped, waits for a person, or failed; then `error` says why. interrupts: what a person is asked,
    each with `id` and `value`; show the rest by `await show(None, chain=…, thread=…, resume={id: answer})`.
    reason: why the model ended, `stop`, `length` …; None unless it is finished. complete: whether nothing is missing.
    """

    text: str
    reasoning: str
    usage: Usage | None
    timings: Timings | None
    run_id: str
    state: EndState
    error: LlmstreamError | None = None
    interrupts: Sequence[Interrupt] = ()
    output: Any = None
    reason: FinishReason | None = None
    complete: bool = False
    _bundle: dict[str, str] = field(default_factory=dict, repr=False)
    _shown_in: str = field(default="", repr=False)

    def __str__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        return dict(self._bundle)

    def _ipython_display_(self) -> None:
        # As the last expression of the cell that it was streamed into, it stands there already.
        if not self._shown_in or request_id() != self._shown_in:
            raise NotImplementedError  # which for IPython means: go on with _repr_mimebundle_


def answer_of(progress: Progress, run_id: str, shown_in: str) -> Answer:
    """The answer that a run has come to.

    progress: of a run that has ended. shown_in: the request of the cell that it was shown in.
    """
    end = progress.ended
    told = end if isinstance(end, Finished | Interrupted) else None
    return Answer(
        text=progress.text,
        reasoning=progress.reasoning,
        usage=told.usage if told else None,
        timings=told.timings if told else None,
        run_id=run_id,
        state=end_state(end) if end else "failed",
        interrupts=end.interrupts if isinstance(end, Interrupted) else (),
        output=progress.output,
        reason=end.reason if isinstance(end, Finished) else None,
        complete=end is not None and not why_incomplete(end),
        error=error_from_code(end.code, end.message) if isinstance(end, Failed) else None,
        _bundle=answer_bundle(progress),
        _shown_in=shown_in,
    )


def plainly(error: LlmstreamError, answer: Answer | None = None) -> LlmstreamError:
    """The error, which a notebook shows as one line instead of a traceback; `error.answer` is what came before it."""
    lines = [line_of(error)]
    vars(error).update(answer=answer, _render_traceback_=lambda: lines)
    return error


def answer_in(error: LlmstreamError) -> Answer | None:
    """The answer that came before an error."""
    answer: Answer | None = vars(error).get("answer")
    return answer
