"""A download of a model, shown on the terminal."""

from __future__ import annotations

import sys

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from llmstream.ollama.models import Ollama
from llmstream.view.safe import one_line
from llmstream.view.terminal import open_console


def pull(ollama: Ollama, model: str) -> None:
    """Pulls a model, with a bar on stderr; raises `ModelNotFound` where it can't be had."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=open_console(sys.stderr), redirect_stdout=False) as progress:
        task = progress.add_task(f"Pulling {one_line(model)}", total=None)
        for step in ollama.pull(model):
            progress.update(task, description=one_line(step.status or ""))
            if step.total:  # each layer counts its own bytes; the status names it
                progress.update(task, total=step.total, completed=step.completed or 0)
        progress.update(task, description=f"Pulled {one_line(model)}")
