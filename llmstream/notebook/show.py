"""Answers in cells: each is a run, followed in the kernel's event loop (or, for plain cells, from beside it)."""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing, contextmanager
from typing import Any, Unpack

from llmstream import concurrency
from llmstream.core.question.arguments import check_names
from llmstream.core.question.inputs import Arguments, Input
from llmstream.errors import InvalidRequest, LlmstreamError, RunNotFound
from llmstream.events import Cancelled, Event, Reasoning, Token, failed
from llmstream.notebook.answer import Answer, plainly
from llmstream.notebook.awaitable import Showing
from llmstream.notebook.controls import places_in_output
from llmstream.notebook.kernel import cell_id, request, request_id, shown_in
from llmstream.notebook.kernel_interrupt import interrupts
from llmstream.notebook.screen import Places, Screen, TerminalScreen, open_screen
from llmstream.runs.following import Following
from llmstream.runs.manager import Runs
from llmstream.runs.run import Run
from llmstream.settings import Settings

_TICK_S = 0.1
_runs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Runs] = weakref.WeakKeyDictionary()

# What goes on in a cell: the request that began it, and how to stop it.
_going: dict[str, list[tuple[str, Callable[[], None]]]] = {}


def shared_runs() -> Runs:
    """The runs of the running event loop, for all cells; a kernel has one loop, and another for `show_sync`."""
    loop = asyncio.get_running_loop()
    if loop not in _runs:
        _runs[loop] = Runs()
    return _runs[loop]


def show(question: Input | Answer, *, runs: Runs | None = None, **arguments: Unpack[Arguments]) -> Showing:
    """Streams an answer into the cell; to be awaited.

    question and the other arguments are those of `llmstream.astream`; or an answer alone, that was cut: it goes on.
    runs: to share one with other parts of the program; it must be used from this event loop.
    Stopped, by the button, by an interrupt or from elsewhere, it returns what came. Raises `LlmstreamError` where the
    answer can't begin or breaks off; `error.answer` is then what came, and the notebook shows a line, no traceback.
    """
    check_names("show", arguments)
    asked = request()
    return Showing(functools.partial(_show, question, runs, arguments, asked, places_in_output()), asked)


async def _show(
    question: Input | Answer, runs: Runs | None, arguments: Arguments, asked: Mapping[str, Any], places: Places | None
) -> Answer:
    """Does what `show` does; asked: the cell that shows it; places: where, if not as outputs of the cell."""
    following = Following(functools.partial(_start, runs, question, arguments))
    screen: Screen | TerminalScreen | None = None
    is_json = arguments.get("format") is not None

    def put(events: Sequence[Event]) -> None:
        nonlocal screen
        if events or screen:
            with shown_in(asked):
                screen = screen or open_screen(following.stop, places, is_json=is_json)
                screen.put(events)

    try:
        with interrupts(following.stop), _in_this_cell(following.stop):
            await follow_into(put, following)
    except LlmstreamError as error:
        raise plainly(error) from error.__cause__
    finally:
        with shown_in(asked):
            answer = screen.close(following.run_id) if screen else None
    return checked(answer)


async def _start(runs: Runs | None, question: Input | Answer, arguments: Arguments) -> Run:
    if isinstance(question, Answer):
        if arguments:
            raise InvalidRequest(f"An answer goes on as it was asked: leave out {', '.join(arguments)}.")
        return await (runs or shared_runs()).continue_run(question.run_id)
    if runs is None:
        arguments.setdefault("settings", Settings())
    return await (runs or shared_runs()).start(question, grace_s=0, **arguments)


async def follow_into(put: Callable[[Sequence[Event]], None], following: Following) -> None:
    """Hand over the events of a run, in lists, an empty one every tenth of a second; the last event is terminal.

    Raises what made the run impossible. Leaving this stops the run.
    """
    try:
        async with aclosing(_lists(following)) as lists:
            async for events in lists:
                put(events)
    except asyncio.CancelledError:
        put([Cancelled("left")])
        raise


def show_sync(question: Input | Answer, **arguments: Unpack[Arguments]) -> Answer:
    """`show` for a cell that does not await, and for plain functions; the interrupt button stops it."""
    check_names("show_sync", arguments)
    screen: Screen | TerminalScreen | None = None
    places, is_json = places_in_output(), arguments.get("format") is not None
    following = Following(functools.partial(_start, None, question, arguments))
    try:
        # Not by a KeyboardInterrupt, which could come in the middle of showing something.
        with interrupts(following.stop), closing(concurrency.iterate(lambda: _lists(following))) as lists:
            for events in lists:
                if events or screen:
                    screen = screen or open_screen(None, places, is_json=is_json)
                    screen.put(events)
    except LlmstreamError as error:
        if screen is None:
            raise plainly(error) from error.__cause__
        screen.put([failed(error)])
    return checked(screen.close(following.run_id) if screen else None)


async def _lists(following: Following) -> AsyncGenerator[Sequence[Event], None]:
    """The events of a run, in lists, an empty one every tenth of a second.

    Tokens that come within that time are in one list: to be woken for each would cost more than the token.
    """
    async with aclosing(following.lists(_TICK_S)) as lists:
        async for events in lists:
            yield events
            if events and isinstance(events[-1], Token | Reasoning):
                await asyncio.sleep(_TICK_S)


def checked(answer: Answer | None) -> Answer:
    """The answer, where it did not fail; else raises its error, with the answer in it."""
    if answer is None:
        raise plainly(RunNotFound())
    if answer.error is not None:
        raise plainly(answer.error, answer)
    return answer


@contextmanager
def _in_this_cell(stop: Callable[[], None]) -> Iterator[None]:
    """Stops what an earlier execution of the same cell still shows: its output is gone."""
    cell, mine = cell_id(), (request_id(), stop)
    if not cell:
        yield
        return
    going = _going.setdefault(cell, [])
    for earlier, stop_earlier in going:
        if earlier != mine[0]:
            stop_earlier()
    going.append(mine)
    try:
        yield
    finally:
        going.remove(mine)
        if not going:
            _going.pop(cell, None)
