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
# What takes longest, the dearest first; the rest takes a few seconds each. What mostly waits stands between what keeps
# the processor busy, so that the processes do not all wait at the same time.
_DEAR = (
    "pages",
    "tests/docs/test_docs_refusals.py",  # waits
    "tests/notebook/test_jupyterlab.py",
    "tests/gradio/test_gradio_browser.py",
    "browser",
    "tests/cli/test_in_a_pipe.py",  # waits
    "tests/docs/test_docs.py",
    "tests/runs/redis/test_faults.py",  # waits
    "tests/runs/redis/test_dead_processes.py",  # waits
    "tests/runs/redis/test_sentinel.py",  # waits
    "tests/http/test_workers.py",
    "tests/core/test_core_twins.py",
    "tests/clients/test_npm_compression.py",
    "tests/clients/test_npm_agents.py",
    "kernels",
    "tests/runs/redis/test_refusals.py",  # waits
    "tests/runs/redis/test_outages.py",  # waits
    "tests/page/test_react_client.py",
    "tests/http/test_replicas.py",
    "tests/runs/redis/test_processes.py",  # waits
    "tests/notebook/test_notebooks.py",
    "tests/cli/test_holds_telling.py",
    "tests/gradio/test_gradio_browser_own.py",
    "tests/http/test_shutdown.py",  # waits
    "tests/docs/test_apps.py",
    "tests/gradio/test_gradio_agent.py",
    "tests/http/test_replicas_soak.py",  # waits
    "tests/dialects/test_langgraph_wire.py",
    "tests/http/test_clients_leave.py",  # waits
    "tests/dialects/test_responses.py",
    "tests/test_holds_server.py",
    "tests/http/test_holds_bodies.py",
    "tests/cli/test_cli_serve.py",  # waits
    "tests/core/running/test_upstream_faults.py",
    "tests/http/test_resume.py",
    "tests/http/test_holds_doors.py",  # waits
    "tests/dialects/test_openai.py",
    "tests/cli/test_on_a_terminal.py",
    "tests/docs/test_docs_clients.py",
    "tests/demo_ollama/test_fallback.py",  # waits
    "tests/http/test_fuzz.py",
    "tests/http/test_http.py",
    "tests/runs/redis/test_property.py",  # waits
    "tests/dialects/test_histories.py",
    "tests/clients/test_npm_use_stream.py",
    "tests/dialects/test_anthropic.py",
    "tests/gradio/test_gradio_doors.py",
    "tests/dialects/test_ollama_dialect.py",
    "tests/http/test_nginx.py",
    "tests/openai/test_faults.py",
    "tests/http/test_threads_kept.py",
)


def _unit_of(nodeid: str) -> str:
    """The name of what runs in one process: the test's file, or the files with which it shares something dear."""
    return next((name for start, name in _TOGETHER.items() if nodeid.startswith(start)), nodeid.split("::")[0])


def place_of(nodeid: str) -> int:
    """The place of a test among the others; equal ones stay in order."""
    unit = _unit_of(nodeid)
    return _DEAR.index(unit) if unit in _DEAR else len(_DEAR)


def make_schedule(config: Any, log: Any) -> Any:
    """The scheduler of pytest-xdist: the tests of a file, or of files that share something dear, in one process."""
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

    class Schedule(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return _unit_of(nodeid)

    config.option.loadscopereorder = False  # they come in the order of `place_of`
    return Schedule(config, log)
