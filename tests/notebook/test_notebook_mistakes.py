"""Mistakes in a cell, and what a person sees of them."""

from __future__ import annotations

from tests.support.kernels import Kernel


def test_mistake_in_a_call(kernel: Kernel) -> None:
    """A misspelt argument is shown where it stands; so is any error of llmstream's, without its insides."""
    cell = kernel.run("answer = 0\nawait show('Why?', modle='x')")
    told = "\x1b[31mTypeError\x1b[0m: show() got an unexpected keyword argument 'modle'. Did you mean 'model'?"
    assert ["Cell, line 2\n    await show('Why?', modle='x')", told] == cell.errors[0]["traceback"]
    cell = kernel.run("from llmstream import stream\nlist(stream('Why?', model='demo:none'))")
    assert ["Cell, line 2\n    list(stream('Why?', model='demo:none'))"] == cell.errors[0]["traceback"][:-1]
