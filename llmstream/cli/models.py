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
    if not arguments.json:
        _show(*_found(arguments))
        return 0
    try:
        _, models, chosen, _ = _found(arguments)
        print_json(_fields(models, chosen))
    except LlmstreamError as error:
        return print_error(error)
    return 0


def _found(arguments: argparse.Namespace) -> tuple[Settings, list[Able], str, bool]:
    """The settings, the models, the name of the one that answers, and whether it is there."""
    wanted = Settings.load(demo=arguments.demo)
    if wanted.demo == "auto":  # a list of the demo's models would say that they are there
        wanted = wanted.change(demo="never")
    models, chosen, is_there = asyncio.run(_models(wanted))
    if not models:
        raise LlmstreamError(NO_MODEL)
    return wanted, models, chosen, is_there


def _show(wanted: Settings, models: Collection[Able], chosen: str, is_there: bool) -> None:
    open_console().print(_table(models, chosen))
    if not is_there:
        print_stderr(
            f"llmstream: The model {chosen} of LLMSTREAM_MODEL is not there."
            + (" Set it to one of these." if wanted.upstream else f" {how_to_get(chosen)}")
        )


def _fields(models: Collection[Able], chosen: str) -> dict[str, Any]:
    """The object that `GET /models` of a server gives too, with what each model can do."""
    shown = [
        {"name": model.name, "size": model.size, "loaded": model.loaded, "capabilities": sorted(able)}
        | ({"context_length": model.context_length} if model.context_length else {})
        for model, able in models
    ]
    return {"models": shown, "default": next((m.name for m, _ in models if same_model(m.name, chosen)), chosen)}


async def _models(wanted: Settings) -> tuple[list[Able], str, bool]:
    """The models with their capabilities, the name of the one that answers, and whether it is there."""
    async with Fallback(lambda: wanted) as fallback:
        upstream = await upstream_of(fallback.settings)
        models = await upstream.models()
        capabilities = await asyncio.gather(*(upstream.capabilities(model.name) for model in models))
        chosen = fallback.settings.model or (await upstream.choose_model() if models else "")
        is_there = bool(chosen) and await upstream.has(chosen)
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
