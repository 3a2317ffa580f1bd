"""`llmstream models`: the models that the server has, with what each can do."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Collection
from typing import Any

from rich.table import Table

from llmstream.cli.answer_json import print_error, print_json
from llmstream.demo_ollama.stand_in import Fallback
from llmstream.errors import LlmstreamError
from llmstream.ollama.models import NO_MODEL
from llmstream.ollama.names import how_to_get, same_model
from llmstream.ollama.upstream import ServedModel
from llmstream.openai.upstream_from_settings import upstream_of
from llmstream.settings import Settings
from llmstream.view.safe import one_line, print_stderr
from llmstream.view.terminal import open_console

# A model, and what it can do.
Able = tuple[ServedModel, frozenset[str]]


def run(arguments: argparse.Namespace) -> int:
    """Prints the models, with a mark at the one that answers; raises `LlmstreamError` where there is no model."""
    try:
        settings = Settings.load(demo=arguments.demo)
        if settings.demo == "auto":  # a list of the demo's models would say that they are there
            settings = settings.change(demo="never")
        models, chosen, is_there = asyncio.run(_models(settings))
    except LlmstreamError as error:
        if not arguments.json:
            raise
        return print_error(error)
    if arguments.json:
        print_json(_fields(models, chosen))
        return 0
    open_console().print(_table(models, chosen))
    if not is_there:
        how = "Set it to one of these." if settings.upstream else how_to_get(chosen)
        print_stderr(f"llmstream: The model {chosen} of LLMSTREAM_MODEL is not there. {how}")
    return 0


def _fields(models: Collection[Able], chosen: str) -> dict[str, Any]:
    """The object that `GET /models` of a server gives too, with what each model can do."""
    shown = [
        {"name": model.name, "size": model.size, "loaded": model.loaded, "capabilities": sorted(able)}
        | ({"context_length": model.context_length} if model.context_length else {})
        for model, able in models
    ]
    return {"models": shown, "default": next((m.name for m, _ in models if same_model(m.name, chosen)), chosen)}


async def _models(settings: Settings) -> tuple[list[Able], str, bool]:
    """The models with their capabilities, the name of the one that answers, and whether it is there."""
    async with Fallback(lambda: settings) as fallback:
        upstream = await upstream_of(fallback.settings)
        models = await upstream.models()
        if not models:
            raise LlmstreamError(NO_MODEL)
        capabilities = await asyncio.gather(*(upstream.capabilities(model.name) for model in models))
        chosen = fallback.settings.model or await upstream.choose_model()
        is_there = await upstream.has(chosen)
    return list(zip(models, capabilities, strict=True)), chosen, is_there


def _table(models: Collection[Able], chosen: str) -> Table:
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
