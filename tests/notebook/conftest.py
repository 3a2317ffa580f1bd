"""Fixtures of the notebook: one pair of kernels for all its tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from llmstream.demo_ollama import DemoOllama

if TYPE_CHECKING:
    from tests.support.kernels import Kernel

_OLD, _NEW = "ipykernel 6", "ipykernel 7"


@pytest.fixture(scope="package")
def kernels_ollama() -> Iterator[DemoOllama]:
    """The demo Ollama of the kernels, with its fault scenarios."""
    with DemoOllama(tokens_per_s=None, scenarios=True) as server:
        yield server


@pytest.fixture
def ollama(kernels_ollama: DemoOllama) -> DemoOllama:
    """The same one; a module may teach it something."""
    return kernels_ollama


def _kernel(ollama: DemoOllama, factory: pytest.TempPathFactory, *, old: bool) -> Iterator[Kernel]:
    from tests.support.kernels import running_kernel

    with running_kernel(factory.mktemp("kernel"), ollama_url=ollama.url, old=old) as kernel:
        yield kernel


@pytest.fixture(scope="package")
def old_kernel(kernels_ollama: DemoOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel of ipykernel 6, which hears no button while a cell waits."""
    yield from _kernel(kernels_ollama, tmp_path_factory, old=True)


@pytest.fixture(scope="package")
def new_kernel(kernels_ollama: DemoOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel of the newest ipykernel."""
    yield from _kernel(kernels_ollama, tmp_path_factory, old=False)


@pytest.fixture(params=[_OLD, _NEW])
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """Each of the two kernels."""
    found: Kernel = request.getfixturevalue("old_kernel" if request.param == _OLD else "new_kernel")
    return found
