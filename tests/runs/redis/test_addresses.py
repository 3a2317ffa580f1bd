"""Ways to a store: TLS, a socket, a user with few rights; and that no password is ever shown."""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from llmstream.errors import SettingsError, StoreUnavailable
from llmstream.runs.redis.log import RedisLog
from llmstream.runs.redis.store.address import shown
from llmstream.settings import Settings
from tests.support import ROOT
from tests.support.lacking import lacking
from tests.support.ports import free_port
from tests.support.redis import RedisServer
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_runs import END, MakeLog, follow, new, tokens, until
from tests.support.redis_way import Way

RIGHTS = (ROOT / "docs" / "deploy.md").read_text().split("ACL SETUSER llmstream ")[1].split("\n")[0].split()


async def works(owner: RedisLog, other: RedisLog) -> None:
    """A run goes from one process to the other."""
    await owner.start()
    await owner.create(new())
    owner.append("r", tokens(1, 3))
    following = await follow(other)
    owner.append("r", [END])
    await owner.close("r")
    assert [*tokens(1, 3), END] == await asyncio.wait_for(following, 20)
    for log in (owner, other):
        await log.aclose()


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """An authority of the test's own, and a certificate and key of 127.0.0.1 that it signed."""
    if shutil.which("openssl") is None:
        lacking("openssl", "apt-get install openssl")
    ca, ca_key, key, request, certificate = (folder / f"{name}.pem" for name in ("ca", "ca-key", "key", "csr", "cert"))
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    new_key = ("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    signing = ("-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile", folder / "names")
    for command in (
        (*new_key, "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", ca_key, "-out", ca),
        (*new_key, "-subj", "/CN=store", "-keyout", key, "-out", request),
        ("openssl", "x509", "-req", "-in", request, *signing, "-out", certificate),
    ):
        subprocess.run(command, check=True, capture_output=True)
    return ca, certificate, key


def with_tls(folder: Path) -> tuple[str, list[str]]:
    """Where a server is that speaks TLS, and whom it shows itself by, and its options for that."""
    ca, certificate, key = certificates(folder)
    port = free_port()
    files = (f"tls-cert-file {certificate}", f"tls-key-file {key}", f"tls-ca-cert-file {ca}")
    return f"127.0.0.1:{port}?ssl_ca_certs={ca}", [f"tls-port {port}", *files, "tls-auth-clients no"]


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
async def test_a_store_with_tls(tmp_path: Path, process: MakeLog, scheme: str) -> None:
    """It is used by who trusts its authority, and by nobody else."""
    address, options = with_tls(tmp_path)
    with RedisServer(tmp_path, *options):
        trusting = {"redis_url": f"{scheme}://{address}", "store_timeout_s": 10}
        await works(process(**trusting), process(**trusting))
        with pytest.raises(SettingsError, match="can't be used"):
            await process(redis_url=f"{scheme}://{address.partition('?')[0]}").start()


async def test_a_cluster_with_tls_and_few_rights(tmp_path: Path, process: MakeLog) -> None:
    """One right more than for a server is enough."""
    address, options = with_tls(tmp_path)
    with cluster(tmp_path, *options, "tls-cluster yes") as server:
        server.client.execute_command("ACL", "SETUSER", "us", *RIGHTS, "+cluster|slots")

        async def takes_writes() -> bool:
            return b"cluster_state:ok" in server.client.execute_command("CLUSTER", "INFO")

        await until(takes_writes)
        trusting = {"redis_url": f"valkeys+cluster://us:secret@{address}", "store_timeout_s": 10}
        await works(process(**trusting), process(**trusting))


async def test_a_store_behind_a_socket(tmp_path: Path, process: MakeLog) -> None:
    """An address may be a file."""
    with RedisServer(tmp_path, f"unixsocket {tmp_path}/s"):
        await works(process(redis_url=f"unix://{tmp_path}/s"), process(redis_url=f"unix://{tmp_path}/s?db=0"))


async def test_a_store_that_is_called_valkey(server: RedisServer, process: MakeLog) -> None:
    """Its name in an address changes nothing."""
    await works(process(redis_url=f"valkey://127.0.0.1:{server.port}/0"), process())


@pytest.mark.parametrize("right", [each for each in RIGHTS if each.startswith("+") and not each.startswith("+@")])
async def test_a_right_that_lacks_is_told_at_the_start(server: RedisServer, process: MakeLog, right: str) -> None:
    """Each right in the documentation is needed; without it no server starts, and it says which one."""
    rights = [each for each in RIGHTS if each != right]
    server.client.execute_command("ACL", "SETUSER", "us", *rights)
    log = process(redis_url=f"redis://us:secret@127.0.0.1:{server.port}")
    with pytest.raises(SettingsError, match=right.removeprefix("+").partition("|")[0]):
        await log.start()


async def test_rights_on_other_names(server: RedisServer, process: MakeLog) -> None:
    """A user of another prefix, or one that may hear of nothing, is refused at the start."""
    for name, wrong, where in (("a", "~{llmstream}:*", "key"), ("b", "&{llmstream}:*", "channel")):
        rights = [each for each in RIGHTS if each != wrong]
        server.client.execute_command("ACL", "SETUSER", name, "resetchannels", *rights)
        with pytest.raises(SettingsError, match=where):
            await process(redis_url=f"redis://{name}:secret@127.0.0.1:{server.port}").start()


@contextmanager
def cluster(folder: Path, *options: str, slots: range = range(2**14)) -> Iterator[RedisServer]:
    """A server that is the whole of a cluster."""
    with RedisServer(folder, "cluster-enabled yes", f"cluster-port {free_port()}", *options) as server:
        if slots:
            server.client.execute_command("CLUSTER", "ADDSLOTSRANGE", slots[0], slots[-1])
        yield server


@pytest.mark.parametrize("slots", [range(2**14), range(2**13), range(0)], ids=["all of it", "half", "nothing"])
async def test_a_cluster_is_not_reached_as_a_server(tmp_path: Path, process: MakeLog, slots: range) -> None:
    """Whatever a node has of the keys, at the start or, where nobody starts a log, before the first run."""
    with cluster(tmp_path, slots=slots) as server:
        log = process(redis_url=server.url)
        for begin in (log.start, lambda: log.create(new())):
            with pytest.raises(SettingsError, match=r"is a node of a Redis Cluster.* redis\+cluster://"):
                await begin()
        await log.aclose()


async def test_a_cluster_behind_one_address(redis_cluster: RedisCluster, process: MakeLog) -> None:
    """A service that hides what it is, and does all that is asked of it, is as good as a server."""
    async with Way(redis_cluster.of("{llmstream}")[0].port) as way:
        way.say(b"_mode:cluster", b"_mode:service")
        await works(process(redis_url=way.url), process(redis_url=way.url))


async def test_a_cluster_that_can_not_be_used(server: RedisServer, tmp_path: Path, process: MakeLog) -> None:
    """It says why: it is none, nobody answers, it has no node for the prefix, a right or the password is another."""

    async def refused(url: str, why: str) -> None:
        log = process(redis_url=url)
        with pytest.raises(SettingsError, match=why):
            await log.start()
        await log.aclose()

    await refused(f"redis+cluster://127.0.0.1:{server.port}", "cluster support disabled")
    await refused(f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{free_port()}", "connection error")
    with cluster(tmp_path, slots=range(2)) as half:
        await refused(f"redis+cluster://127.0.0.1:{half.port}", "no node of the cluster has slot")
        half.client.execute_command("ACL", "SETUSER", "us", *RIGHTS)
        seeds = f"127.0.0.1:{free_port()},127.0.0.1:{half.port}"
        await refused(f"redis+cluster://us:secret@{seeds}", r"cluster\|slots")
        await refused(f"redis+cluster://us:wrong@{seeds}", "invalid username-password pair")


@pytest.mark.parametrize("rest", ["", "h/1", "h?db=1", "h/main", ":7000", "h:x", "u:p@h,u:p@h", "h?no_such=1"])
@pytest.mark.parametrize("scheme", ["redis+cluster", "redis+proxy", "unix+cluster"])
def test_what_is_no_address_of_a_cluster(scheme: str, rest: str) -> None:
    """It is refused with all forms that there are."""
    with pytest.raises(SettingsError, match=r"redis_url .* must be redis://.* or redis\+cluster://"):
        RedisLog(Settings(redis_url=f"{scheme}://{rest}"))


async def test_a_full_store_can_be_started_with(server: RedisServer, process: MakeLog) -> None:
    """It may have room again, and nobody should have to start the server again then."""
    server.client.config_set("maxmemory", 1)
    await process().start()
    assert [] == [key for key in server.client.scan_iter() if b"trial" in key]


@pytest.mark.parametrize(
    "url",
    [
        "redis://ann:hunter2@127.0.0.1:9/1?timeout=1",
        "redis://:hunter2@127.0.0.1:9",
        "redis://127.0.0.1:9?password=hunter2",
        "redis://127.0.0.1:9?password=h@hunter2",
        "redis://ann:h?hunter2@127.0.0.1:9",
        "redis://ann:h@hunter2@127.0.0.1:9",
        "rediss://ann:hunter2@127.0.0.1:9",
        "redis+sentinel://ann:hunter2@127.0.0.1:9,127.0.0.1:10/main?sentinel_password=x@hunter2",
        "redis+cluster://ann:hunter2@127.0.0.1:9,127.0.0.1:10",
        "redis+cluster://ann:hunter2@127.0.0.1:9,ann:hunter2@127.0.0.1:10",
        "redis://ann:hunter2@127.0.0.1:nine",
        "unix://ann:hunter2@/nowhere",
        "http://ann:hunter2@127.0.0.1",
    ],
)
async def test_no_password_is_shown(url: str, process: MakeLog, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong with an address: no log line, error or representation has its password, or a part of it."""
    caplog.set_level(logging.DEBUG)
    told = [shown(url), repr(Settings(redis_url=url))]
    try:
        log = process(redis_url=url, store_timeout_s=0.2)
        told.append(repr(log))
        with pytest.raises(SettingsError) as refused:
            await log.start()
        told += [repr(refused.value), str(log.health())]
        for _ in range(2):
            with pytest.raises(StoreUnavailable) as away:
                await log.find("", "k", "f")
            told += [repr(away.value), repr(away.value.__cause__)]
    except SettingsError as error:
        told.append(str(error))
    assert "hunter2" not in "\n".join([*told, caplog.text])


async def test_a_password_that_is_refused_is_not_shown(
    server: RedisServer, process: MakeLog, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where it was right until now: the log tells of the store by its address alone."""
    caplog.set_level(logging.DEBUG)
    server.client.execute_command("ACL", "SETUSER", "ann", "on", ">hunter2", "~*", "&*", "+@all")
    log = process(redis_url=f"redis://ann:hunter2@127.0.0.1:{server.port}")
    await log.start()
    server.client.execute_command("ACL", "SETUSER", "ann", "resetpass", ">hunter3")
    server.client.execute_command("CLIENT", "KILL", "USER", "ann")
    with pytest.raises(StoreUnavailable):
        await log.find("", "k", "f")

    async def is_refused_again() -> bool:
        return sum(int(each["count"]) for each in server.client.acl_log() if each["reason"] == "auth") > 2

    await until(is_refused_again)
    assert f"the store at redis://127.0.0.1:{server.port} is away" in caplog.text
    assert 1 == caplog.text.count("is away")
    assert "hunter" not in caplog.text
