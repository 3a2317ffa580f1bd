"""Which tests run in the same process where there are several, and what is begun first."""

from __future__ import annotations

from typing import Any

# What these share is dear: a Chromium, a pair of kernels.
_TOGETHER = {
    "tests/page/test_react_page": "pages",
    "tests/clients/test_browser": "browser",
    "tests/notebook/test_notebook_": "kernels",
    "tests/notebook/test_notebook.": "kernels",
}
_FIRST = tuple(f"tests/{folder}/" for folder in ("page", "gradio", "notebook", "clients", "http", "cli", "runs"))


def place_of(nodeid: str) -> int:
    """The place of a test among the others; equal ones stay in order."""
    return next((place for place, start in enumerate(_FIRST) if nodeid.startswith(start)), len(_FIRST))


def make_schedule(config: Any, log: Any) -> Any:
    """The scheduler of pytest-xdist: the tests of a file, or of files that share something dear, in one process."""
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

    class Schedule(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return next((name for start, name in _TOGETHER.items() if nodeid.startswith(start)), nodeid.split("::")[0])

    config.option.loadscopereorder = False  # they come in the order of `place_of`
    return Schedule(config, log)
