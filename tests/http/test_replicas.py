"""Several server processes with one store, over HTTP: what one of them begins, any other follows, resumes and stops."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmstream.demo_ollama import DemoOllama, Pause
from llmstream.events import Cancelled, Continued, Failed, Finished, Token
from llmstream.runs.log import END_OF_LOST
from tests.support import ROOT
from tests.support.command import COMMAND, environment
from tests.support.faultkit import Exchange, Fault, Proxy, eventually
from tests.support.golden import golden, normal
from tests.support.nginx import nginx
from tests.support.replicas import LEASE_S, Replicas, followed, replicated, started
from tests.support.serving import get, messages, native_events, plain_answer, post


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    """Three servers that no test harms."""
    with replicated(tmp_path_factory.mktemp("replicas")) as replicas:
        yield replicas


def test_start_here_follow_there_stop_from_a_third(replicas: Replicas) -> None:
    """A run is the same in every process; a stop from any of them frees the model."""
    one, two, three = replicas.urls
    run = started(one, "demo:tokens-500")
    assert followed(one, run) == followed(two, run) == followed(three, run)
    assert get(f"{one}/runs/{run}").json() == get(f"{three}/runs/{run}").json()

    run = started(one, "demo:stall-3")
    with Exchange(f"{two}/runs/{run}/events") as stream:
        stream.until(lambda exchange: b'" 3"' in exchange.body)
        assert 202 == post(f"{three}/runs/{run}/stop").status_code
        assert Cancelled("stop") == followed(two, run)[-1]
    assert replicas.upstream.wait_idle()
    assert 204 == post(f"{two}/runs/{run}/stop").status_code


def test_who_comes_back_elsewhere_misses_nothing(replicas: Replicas) -> None:
    """A client that is cut off goes on with another process from where it was, in every dialect with ids."""
    one, two, _ = urls = replicas.urls
    run = started(one, "demo:tokens-300")
    whole = followed(one, run)
    for after in (0, 1, 150, len(whole) - 1):
        assert whole[after:] == followed(two, run, after)
    assert [] == followed(two, run, len(whole))
    assert 204 == get(f"{two}/runs/{run}/events?after={len(whole)}").status_code
    lost = get(f"{two}/runs/{run}/events?after={len(whole) + 1}")
    assert (200, "future") == (lost.status_code, json.loads(messages(lost.content)[-1].data)["reason"])
    rest = [post(f"{url}/stream-with-post", {"question": "q"}, headers={"last-event-id": f"{run}-150"}) for url in urls]
    assert rest[0].content == rest[1].content == rest[2].content
    assert plain_answer(rest[0].content).endswith(" 299 300")


def test_our_client_that_is_cut_goes_on_at_another_server(replicas: Replicas) -> None:
    """Cut off in the middle from one that does not own the run, it comes back to a second one, and has all of it."""
    one, two, three = replicas.urls
    run = started(one, "demo:tokens-200")
    urls = iter([two, three])
    with Proxy(lambda: next(urls), iter([Fault(cut_down=5000)])) as way:  # some events, and a part of one
        assert followed(one, run) == followed(way.url, run)
        assert 2 == way.connections


def test_one_key_everywhere_at_once_starts_one_generation(replicas: Replicas) -> None:
    """Thirty requests with one key at three processes: one run, and one generation."""
    before = len(replicas.upstream.requests)
    with ThreadPoolExecutor(30) as pool:
        urls = replicas.urls * 10
        runs = set(pool.map(lambda url: started(url, "demo:tokens-50", request_id="k"), urls))
    assert 1 == len(runs)
    assert 52 == len(followed(replicas.urls[1], runs.pop()))
    asked = [request for request in replicas.upstream.requests[before:] if request.path == "/api/chat"]
    assert 1 == len(asked)


COUNT = "One, two, three, four, five, six."


@contextmanager
def chatting(url: str, upstream: DemoOllama) -> Iterator[str]:
    """The run of a message in the AI SDK's chat "chat", which has said a part, and waits."""
    upstream.answers["q"] = lambda request: COUNT if request.begun else [COUNT[:8], Pause(600)]
    message = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "q"}]}
    with Exchange(f"{url}/api/chat", "POST", id="chat", messages=[message], model="demo") as stream:
        stream.until(lambda exchange: b"two" in exchange.body)
        yield stream.headers["x-run-id"]


def goes_on(url: str, cut: str) -> None:
    """An answer whose process died is continued, in its chat, too; another one is not known."""
    response = post(f"{url}/runs/{cut}/continue")
    assert 201 == response.status_code, response.text
    more = response.json()["run_id"]
    events = followed(url, more)
    assert [Continued(cut)] == [event for event in events if isinstance(event, Continued)]
    assert COUNT == "".join(event.text for event in events if isinstance(event, Token))
    assert more == get(f"{url}/api/chat/chat/stream?startIndex=1").headers["x-run-id"]
    assert 404 == post(f"{url}/runs/{'0' * 32}/continue").status_code


def test_processes_that_end(tmp_path: Path) -> None:
    """One that is told to stop sends its watchers elsewhere; of one that is killed a strict client hears once.

    What it had said is continued elsewhere; who asks for that too early waits, and is not sent away.
    """
    with replicated(tmp_path) as replicas:
        one, two, three = replicas.processes
        run = started(one.url, "demo:stall-3", on_leave="continue")
        with Exchange(f"{three.url}/runs/{run}/events") as stream:
            stream.until(lambda exchange: b'" 3"' in exchange.body)
            three.process.send_signal(signal.SIGTERM)
            stream.until(lambda exchange: exchange.ended)
        assert not any(isinstance(event, Failed) for event in native_events(stream.body))
        three.ends_within(20)

        with (
            chatting(one.url, replicas.upstream) as cut,
            Exchange(f"{two.url}/runs/{cut}/events") as chat,
            Exchange(f"{two.url}/runs/{run}/events", headers={"last-event-id": stream.last_id}) as there,
        ):
            chat.until(lambda exchange: b"two" in exchange.body)
            assert 409 == post(f"{two.url}/runs/{cut}/continue").status_code
            one.process.kill()
            one.process.wait()
            goes_on(two.url, cut)
            chat.until(lambda exchange: exchange.ended)
            golden("native_owner_lost", normal(chat.body, cut), fixed=True)
            assert 0 < replicas.store.client.pttl(f"{{llmstream}}:1:r:{cut}:q") <= 600_000
            there.until(lambda exchange: b"owner_lost" in exchange.body)
        last = messages(there.body)[-1]
        assert (f"{run}-{END_OF_LOST}", 5) == (last.id, json.loads(last.data)["seq"])
        for after in (0, 3, 40):
            end = followed(two.url, run, after)[-1]
            assert isinstance(end, Failed)
            assert "owner_lost" == end.code
        assert 204 == get(f"{two.url}/runs/{run}/events", headers={"last-event-id": str(last.id)}).status_code
        snapshot = get(f"{two.url}/runs/{run}").json()
        assert ("failed", " 1 2 3", END_OF_LOST) == (snapshot["state"], snapshot["text"], snapshot["last_id"])


def test_a_process_that_is_told_to_stop_tells_everybody(tmp_path: Path) -> None:
    """Its own runs end with `server_shutdown` for those who follow them elsewhere too."""
    with replicated(tmp_path, 2) as replicas:
        one, two = replicas.processes
        run = started(one.url, "demo:stall-3")
        with Exchange(f"{two.url}/runs/{run}/events") as stream:
            stream.until(lambda exchange: b'" 3"' in exchange.body)
            one.process.send_signal(signal.SIGTERM)
            stream.until(lambda exchange: exchange.ended)
        end = native_events(stream.body)[-1]
        assert isinstance(end, Failed)
        assert "server_shutdown" == end.code


def test_without_its_store_a_server_says_so(tmp_path: Path) -> None:
    """New runs get 503 at once and `/health` and `/metrics` tell; answers under way go on to their end."""
    with replicated(tmp_path, 1) as replicas:
        (url,) = replicas.urls
        with Exchange(f"{url}/stream", "POST", question="q", model="demo:slow-2") as stream:
            stream.until(lambda exchange: b"started" in exchange.body)
            replicas.store.kill()
            refused = post(f"{url}/runs", {"question": "q", "model": "demo:tokens-1", "request_id": "k"})
            assert (503, "store_unavailable") == (refused.status_code, refused.json()["code"])
            assert "2" == refused.headers["retry-after"]
            assert not get(f"{url}/health").json()["store"]["reachable"]
            assert "llmstream_store_up 0.0" in get(f"{url}/metrics").text
            stream.until(lambda exchange: b"finished" in exchange.body)
        replicas.store.start()
        assert eventually(lambda: get(f"{url}/health").json()["store"]["reachable"])
        assert started(url, "demo:tokens-1", request_id="k")


def test_a_chat_is_resumed_and_replaced_elsewhere(replicas: Replicas) -> None:
    """The AI SDK's chat: come back to it at another process; a new message at a third ends what goes on."""
    one, two, three = replicas.urls

    def message(url: str, model: str) -> Exchange:
        parts = [{"type": "text", "text": "q"}]
        body: dict[str, Any] = {"id": "chat", "messages": [{"id": "m", "role": "user", "parts": parts}], "model": model}
        return Exchange(f"{url}/api/chat", "POST", **body)

    with message(one, "demo:stall-3") as first:
        first.until(lambda exchange: b'" 3"' in exchange.body)
        with Exchange(f"{two}/api/chat/chat/stream") as again:
            again.until(lambda exchange: b'" 3"' in exchange.body)
            with message(three, "demo:tokens-3") as second:
                second.until(lambda exchange: exchange.ended)
            first.until(lambda exchange: exchange.ended)
            again.until(lambda exchange: exchange.ended)
    assert replicas.upstream.wait_idle()
    # Another process hears of the end a moment later.
    assert eventually(lambda: 204 == get(f"{two}/api/chat/chat/stream").status_code)


def test_behind_nginx_every_request_goes_to_another(replicas: Replicas, tmp_path: Path) -> None:
    """Round robin over three processes: start, follow, come back, snapshot and stop, none of them with the owner."""
    hosts = "".join(f"server {url.removeprefix('http://')};" for url in replicas.urls)
    location = "location / { proxy_pass http://all; proxy_set_header Host localhost; }"
    with nginx("", tmp_path, location=location, http=f"upstream all {{ {hosts} }}") as front:
        for _ in range(4):
            run = started(front, "demo:tokens-100")
            assert isinstance(followed(front, run)[-1], Finished)
            assert 100 == sum(isinstance(event, Token) for event in followed(front, run))
        run = started(front, "demo:stall-3")
        assert 202 == post(f"{front}/runs/{run}/stop").status_code
        assert Cancelled("stop") == followed(front, run)[-1]


def test_workers_of_one_machine(replicas: Replicas) -> None:
    """`serve --workers 3`: one address, any process serves any run, and SIGTERM ends all of them."""
    command = [*COMMAND, "serve", "--port", "0", "--no-demo", "--workers", "3"]
    variables = {"LLMSTREAM_REDIS_URL": replicas.store.url, "LLMSTREAM_LEASE_S": LEASE_S, "LLMSTREAM_DRAIN_S": "0.2"}
    with subprocess.Popen(
        command, cwd=ROOT, env={**environment(replicas.upstream.url), **variables}, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = next(match[1] for line in process.stdout if (match := re.search(r"listens on (http://\S+)", line)))
            for _ in range(10):
                run = started(url, "demo:tokens-20")
                with httpx.Client() as fresh:  # a connection of its own, to any of them
                    assert b"finished" in fresh.get(f"{url}/runs/{run}/events").content
            process.send_signal(signal.SIGTERM)
            assert 0 == process.wait(20)
        finally:
            process.kill()


def test_workers_need_a_store(upstream: DemoOllama) -> None:
    """Without one each process would know its own runs only: refused, in one sentence."""
    command = [*COMMAND, "serve", "--port", "0", "--no-demo", "--workers", "2"]
    done = subprocess.run(command, cwd=ROOT, env=environment(upstream.url), capture_output=True, text=True, timeout=60)
    assert 2 == done.returncode
    assert "LLMSTREAM_REDIS_URL" in done.stderr
    assert 1 == len(done.stderr.splitlines())
