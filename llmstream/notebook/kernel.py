"""The kernel of this process: what it is asked now, and if it hears a button while a cell waits."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from IPython.core.getipython import get_ipython

from llmstream.errors.places import in_kernel

# From 7.4 on, ipykernel handles the messages of widgets while a cell awaits something; from 7.0 on it does so for those
# that JupyterLab sends to a subshell; before, only when the cell has ended.
_HEARS, _HEARS_SUBSHELL = (7, 4), (7, 0)

# From here on, what a task shows goes to the cell that made the task; before, to the cell that runs at the moment.
_KEEPS_TASKS_APART = (7, 0)


def request() -> Mapping[str, Any]:
    """The request that is being executed; empty where there is no kernel."""
    shell: Any = get_ipython()
    return shell.get_parent() or {} if in_kernel() else {}


def request_id() -> str:
    """The id that tells one execution of a cell from all others."""
    count = getattr(get_ipython(), "execution_count", "")
    return str(request().get("header", {}).get("msg_id", count))


def cell_id() -> str:
    """The id of the cell that is being executed, where the front end tells it."""
    return str(request().get("metadata", {}).get("cellId") or "")


@contextmanager
def shown_in(asked: Mapping[str, Any]) -> Iterator[None]:
    """Shows what the block shows in the cell of this request (of `request`), also when another cell runs meanwhile."""
    shell: Any = get_ipython()
    running = request()
    if not asked or asked is running or _version() >= _KEEPS_TASKS_APART:
        yield
        return
    shell.set_parent(asked)
    try:
        yield
    finally:
        shell.set_parent(running)


def attended() -> bool:
    """True if a person can be there: nbclient and papermill allow no input, and press nothing."""
    return bool(request().get("content", {}).get("allow_stdin")) or _in_callback()


def keeps_widgets() -> bool:
    """True if a person can use what a cell shows; Voilà, who runs a notebook to its end first, allows no input."""
    return attended() or "VOILA_KERNEL_ID" in os.environ


def hears_buttons() -> bool:
    """True if a button works while the cell awaits an answer, and somebody may press it."""
    if not attended() or threading.current_thread() is not threading.main_thread():
        return False
    if _in_callback():  # no cell waits
        return True
    in_jupyter = bool(os.environ.get("JPY_SESSION_NAME"))
    return _version() >= _HEARS or (_version() >= _HEARS_SUBSHELL and in_jupyter)


def _in_callback() -> bool:
    """True if the callback of a widget made this call, and no cell."""
    return str(request().get("header", {}).get("msg_type", "")).startswith("comm_")


def _version() -> tuple[int, ...]:
    return tuple(getattr(sys.modules.get("ipykernel"), "version_info", ())[:2])
