"""Several servers with one store, and a real Chromium: what is cut at one of them goes on at another."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.browser import CuttingProxy
from tests.support.page import NETWORK, Pages
from tests.support.replicas import Replicas, replicated, started
from tests.support.serving import generations

TEXT = "".join(f" {number}" for number in range(1, 201))


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    """Three servers that no test harms."""
    with replicated(tmp_path_factory.mktemp("replicas")) as replicas:
        replicas.upstream.answers["q"] = TEXT
        yield replicas


def moving(first: str, then: str) -> CuttingProxy:
    """A way to a server that is cut in the middle of an answer, once that is shown, and leads to another one then."""
    return CuttingProxy(first, before=r"id: \w+-101\n", hold=True, then=then)


FOLLOW = """url => {
  const source = new EventSource(url);
  const found = window.found = [];
  for (const name of ["started", "status", "token", "failed", "cancelled", "reset", "finished"]) {
    source.addEventListener(name, ({ type, data, lastEventId }) => found.push([type, data, lastEventId]));
  }
  source.addEventListener("error", () => {
    found.push(source.readyState);
  });
}"""


def test_an_event_source_goes_on_at_another_server(pages: Pages, replicas: Replicas) -> None:
    """Cut off at one that does not own the run, it comes back to a second one: each event once, in order, one end.

    Nobody closes it: then it asks once more, and is told that there is nothing.
    """
    one, two, three = replicas.urls
    run = started(one, "demo")
    connecting, closed = 0, 2
    pages.expected = NETWORK
    page = pages.open(f"{one}/health").page  # which says nothing of where it may connect to
    with moving(two, three) as way:
        page.evaluate(FOLLOW, f"http://127.0.0.1:{way.port}/runs/{run}/events")
        page.wait_for_function("found.length === 100")
        way.cut.set()
        page.wait_for_function("found.at(-1) === EventSource.CLOSED")
        found = page.evaluate("found")
    events = [each for each in found if isinstance(each, list)]
    assert [connecting, connecting, closed] == [each for each in found if not isinstance(each, list)]
    assert 100 == found.index(connecting)
    assert [f"{run}-{number + 1}" for number in range(202)] == [last_id for _, _, last_id in events]
    assert ["started", *["token"] * 200, "finished"] == [name for name, _, _ in events]
    assert TEXT == "".join(json.loads(data).get("text", "") for _, data, _ in events)


def test_the_page_goes_on_at_another_server(pages: Pages, replicas: Replicas) -> None:
    """Its server is lost in the middle of an answer, and another one has its address: the exact text, once."""
    one, two, _ = replicas.urls
    pages.expected = NETWORK
    before = generations(replicas.upstream)
    with moving(one, two) as way:
        chat = pages.open(f"http://127.0.0.1:{way.port}")
        chat.ask("q").shows(r" 99\s*$")
        way.cut.set()
        chat.ends()
        assert way.has_cut
        assert TEXT == chat.copied()
    assert before + 1 == generations(replicas.upstream)
