"""Cells whose answer stalls, and what they show."""

from __future__ import annotations

from tests.support.kernels import Cell, Kernel

STALLED = " 1 2 3"  # what demo:stall-3 says before it falls silent


def shows(cell: Cell, text: str) -> bool:
    """Whether the cell's answer is this text, so far."""
    return any(text == bundle.get("text/markdown", "").split("\n\n*Not complete")[0] for bundle in cell.bundles)


def begin_stalled(kernel: Kernel, code: str) -> Cell:
    """A cell that waits in the middle of an answer."""
    cell = kernel.begin(code)
    kernel.wait(lambda: shows(cell, STALLED))
    return cell
