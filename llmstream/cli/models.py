"""`llmstream models`: a table of the models that the server has, with what each can do."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Collection

from rich.table import Table

from llmstream.demo_ollama.fallback import Fallback
from llmstream.errors import LlmstreamError
from llmstream.ollama.models import NO_MODEL
from llmstream.ollama.names import same_model
from llmstream.ollama.upstream import Model
from llmstream.openai.upstream import upstream_of
from llmstream.settings import Settings
from llmstream.view.safe import one_line, print_stderr
from llmstream.view.terminal import open_console


def run(arguments: argparse.Namespace) -> int:
    """Prints the table, with a mark at the model that answers; raises `LlmstreamError` where there is no model."""
    wanted = Settings.load(demo=arguments.demo)
    if wanted.demo == "auto":  # a list of the demo's models would say that they are there
        wanted = wanted.change(demo="never")
    models, chosen = asyncio.run(_models(wanted))
    if not models:
        raise LlmstreamError(NO_MODEL)
    open_console().print(_table(models, chosen))
    if not any(same_model(model.name, chosen) for model, _ in models):
        print_stderr(
            f"llmstream: The model {chosen} of LLMSTREAM_MODEL is not there."
            + ("" if wanted.upstream else f" Get it with `ollama pull {chosen}`.")
        )
    return 0


async def _models(wanted: Settings) -> tuple[list[tuple[Model, frozenset[str]]], str]:
    """The models with their capabilities, and the name of the one that answers."""
    async with Fallback(wanted, lambda changed: None) as fallback:
        upstream = await upstream_of(fallback.settings)
        models = await upstream.models()
        capabilities = await asyncio.gather(*(upstream.capabilities(model.name) for model in models))
        chosen = fallback.settings.model or (await upstream.choose_model() if models else "")
    return list(zip(models, capabilities, strict=True)), chosen


def _table(models: Collection[tuple[Model, frozenset[str]]], chosen: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="")
    for heading in ("", "NAME", "SIZE", "LOADED", "CAPABILITIES"):
        table.add_column(heading, overflow="fold")
    for model, able in models:
        mark = "*" if same_model(model.name, chosen) else ""
        loaded = "yes" if model.loaded else "no"
        table.add_row(mark, one_line(model.name), _size(model.size), loaded, one_line(", ".join(sorted(able))))
    return table


def _size(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
