"""A real kernel of either ipykernel, and what a front end would show of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.support import DATA, ROOT
from tests.support.lacking import lacking

PINS = DATA / "ipykernel-6.txt"
_OLD = ROOT / ".cache" / PINS.read_text().strip().replace("==", "-")
_TIMEOUT_S = 40.0

Bundle = dict[str, Any]


def old_ipykernel() -> Path:
    """A folder with ipykernel 6, to be put before the one that is installed; made once."""
    if not _OLD.is_dir():
        # Made aside and moved into place, so that test runs side by side never see half of it.
        making = _OLD.with_name(f"{_OLD.name}.{os.getpid()}")
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--target", str(making)]
        command = [sys.executable, "-m", "pip", "install", *options, "-r", str(PINS)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        if done.returncode:
            shutil.rmtree(making, ignore_errors=True)
            lacking("ipykernel 6", f"`pip install` of it failed, which needs the network once: {done.stderr[-200:]}")
        try:
            making.rename(_OLD)
        except OSError:  # another test run was faster
            shutil.rmtree(making)
    return _OLD


def new_notebook(*sources: str) -> Any:
    """A notebook with these cells of code, not executed yet."""
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{number}") for number, source in enumerate(sources)]  # type: ignore[no-untyped-call]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})  # type: ignore[no-untyped-call]


@dataclass
class Cell:
    """An execution of a cell: its outputs as a front end would save them."""

    outputs: list[dict[str, Any]] = field(default_factory=list)
    done: bool = False

    @property
    def bundles(self) -> list[Bundle]:
        """What is shown by type of data, in order."""
        return [output["data"] for output in self.outputs if "data" in output]

    @property
    def plain(self) -> list[str]:
        """What is shown as plain text, errors and prints too."""
        return [self._text(output) for output in self.outputs]

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The errors."""
        return [output for output in self.outputs if output["output_type"] == "error"]

    @staticmethod
    def _text(output: Mapping[str, Any]) -> str:
        if "data" in output:
            return str(output["data"].get("text/plain", output["data"].get("text/markdown")))
        return str(output.get("text") or output.get("ename"))


class Kernel:
    """A kernel, its cells, its widgets, and what went over the wire."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.widgets: dict[str, dict[str, Any]] = {}
        self.sent_bytes = 0
        self.updates = 0
        self._manager = manager
        self._client = client
        self._cells: dict[str, Cell] = {}
        self._displays: dict[str, dict[str, Any]] = {}

    def begin(self, code: str, *, cell_id: str = "", allow_stdin: bool = True) -> Cell:
        """Ask for a cell to be executed."""
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": allow_stdin}
        message = self._client.session.msg("execute_request", content)
        message["metadata"] = {"cellId": cell_id} if cell_id else {}
        self._client.shell_channel.send(message)
        cell = self._cells[message["header"]["msg_id"]] = Cell()
        return cell

    def run(self, code: str, *, timeout_s: float = _TIMEOUT_S, **options: Any) -> Cell:
        """Execute a cell to its end."""
        cell = self.begin(code, **options)
        self.wait(lambda: cell.done, timeout_s)
        return cell

    def value(self, expression: str) -> Any:
        """A value of the kernel, which JSON can hold."""
        return json.loads("".join(self.run(f"import json; print(json.dumps({expression}))").plain))

    def wait(self, done: Callable[[], Any], timeout_s: float = _TIMEOUT_S) -> None:
        """Read messages until something is so."""
        until = time.monotonic() + timeout_s
        while not done():
            try:
                self._take(self._client.get_iopub_msg(timeout=max(0.0, until - time.monotonic())))
            except Empty:
                raise AssertionError(f"waited in vain; cells: {self._cells.values()}") from None

    def interrupt(self) -> None:
        """What the interrupt button of a front end does."""
        self._manager.interrupt_kernel()

    def has(self, description: str) -> bool:
        """Whether a button is there."""
        return any(state.get("description") == description for state in self.widgets.values())

    def press(self, description: str) -> None:
        """Press a button."""
        self.wait(lambda: self.has(description))
        self._to_widget(self.find(description=description), {"method": "custom", "content": {"event": "click"}})

    def find(self, **state: Any) -> str:
        """The widget with this state."""
        return next(name for name, known in self.widgets.items() if state.items() <= known.items())

    def set(self, widget: str, **state: Any) -> None:
        """What a front end sends when a person changes a widget."""
        self._to_widget(widget, {"method": "update", "state": state, "buffer_paths": []})

    def upload(self, widget: str, name: str, content: bytes) -> None:
        """What a front end sends when a person chooses a file."""
        file = {"name": name, "type": "image/png", "size": len(content), "last_modified": 0}
        data = {"method": "update", "state": {"value": [file]}, "buffer_paths": [["value", 0, "content"]]}
        self._to_widget(widget, data, content)

    def submit(self, widget: str) -> None:
        """Enter in a text field."""
        self._to_widget(widget, {"method": "custom", "content": {"event": "submit"}})

    def _to_widget(self, widget: str, data: dict[str, Any], *buffers: bytes) -> None:
        message = self._client.session.msg("comm_msg", {"comm_id": widget, "data": data})
        message["buffers"] = list(buffers)
        self._client.shell_channel.send(message)

    def _take(self, message: Mapping[str, Any]) -> None:
        content, kind = message["content"], message["msg_type"]
        self.sent_bytes += sum(
            len(json.dumps(message[part], default=str, ensure_ascii=False).encode())
            for part in ("header", "parent_header", "metadata", "content")
        )
        cell = self._cells.get(message["parent_header"].get("msg_id", ""), Cell())
        if kind == "status":
            cell.done |= content["execution_state"] == "idle"
        elif kind == "update_display_data":
            self.updates += 1
            self._displays[content["transient"]["display_id"]]["data"] = content["data"]
        elif kind in ("display_data", "execute_result", "stream", "error"):
            output = {"output_type": kind, **content}
            cell.outputs.append(output)
            if display_id := content.get("transient", {}).get("display_id"):
                self._displays[display_id] = output
        elif kind.startswith("comm_"):
            self._take_comm(kind, content)

    def _take_comm(self, kind: str, content: Mapping[str, Any]) -> None:
        if kind == "comm_close":
            self.widgets.pop(content["comm_id"], None)
        elif kind == "comm_open" or content["data"].get("method") == "update":
            self.widgets.setdefault(content["comm_id"], {}).update(content["data"]["state"])


@contextmanager
def running_kernel(folder: Path, *, ollama_url: str, old: bool) -> Iterator[Kernel]:
    """A kernel with ipykernel 6, or with the installed one; folder: for its files."""
    environment = {
        **os.environ,
        "OLLAMA_HOST": ollama_url,
        "LLMSTREAM_DEMO": "never",
        "LLMSTREAM_MODEL": "demo",
        "IPYTHONDIR": str(folder),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONPATH": os.pathsep.join(map(str, [old_ipykernel(), ROOT] if old else [ROOT])),
    }
    manager = KernelManager(kernel_name="python3", connection_file=str(folder / "kernel.json"), transport="ipc")
    manager.start_kernel(env=environment, cwd=str(folder), stderr=subprocess.DEVNULL)
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=_TIMEOUT_S)
        kernel = Kernel(manager, client)
        kernel.run("import asyncio\nfrom llmstream.notebook import *")
        yield kernel
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
