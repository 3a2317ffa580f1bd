"""The garbage collector in a server: it does not walk all streams because many tokens are under way at once."""

from __future__ import annotations

import gc

from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.serving import Serve


def test_objects_under_way_are_not_collected(settings: Settings, serve: Serve) -> None:
    """A thousand streams have two objects each under way in one turn of the loop; nothing is looked at for them."""
    serve(create_app(settings))
    gc.collect()
    before = [generation["collections"] for generation in gc.get_stats()]
    under_way: list[list[int]] = [[] for _ in range(2_000)]
    assert before == [generation["collections"] for generation in gc.get_stats()]
    assert len(under_way) == 2_000
