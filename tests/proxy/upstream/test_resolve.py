"""How names are looked up (forwarding.md F9): in threads of our own, one a name, for all who wait."""

import asyncio
import gc
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import pytest

from corsproxy.policy.compiled import CompiledConfig
from corsproxy.proxy.upstream import resolve
from corsproxy.proxy.upstream.resolve import Name, Resolver
from tests.support.names import Names, Time, info, threads_for
from tests.support.proxy import Proxy, config_of, one_route, running_proxy
from tests.support.responses import ALWAYS_OK
from tests.support.upstream import ScriptedUpstream
from tests.support.wire import eventually, patiently

CROWD = 50
HUNG = "hung.test"
OTHER = "other.test"
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
OUT_OF_ORDER = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give lookups a long head start: on a busy machine a quick one may take its time."""
    monkeypatch.setattr(resolve, "_HEAD_START", 4.0)


@pytest.fixture
def names() -> Iterator[Names]:
    """Return a resolver by script, none of whose lookups outlives the test."""
    scripted = Names("127.0.0.1")
    yield scripted
    for released in scripted.hangs.values():
        released.set()
    for thread in [one for one in threading.enumerate() if one.name.startswith("resolve ")]:
        thread.join(5)


@pytest.fixture
def time() -> Time:
    """Return a time that does not advance."""
    return Time()


async def found(name: Name) -> list[str]:
    """Return the addresses of `name`; fail if it takes long."""
    infos = await patiently(name.addresses(), "addresses")
    return [one[4][0] for one in infos]


async def failure_of(name: Name) -> int | None:
    """Return the error number of looking `name` up."""
    try:
        await patiently(name.addresses(), "a failure")
    except OSError as error:
        return error.errno
    raise AssertionError


def plan_with(port: str, connect: str) -> CompiledConfig:
    """Return a plan: /hung leads to the name that hangs, the rest to another name of the server."""
    return config_of(
        one_route(
            f"http://{HUNG}:{port}",
            route="match: {path: /hung}",
            upstream=f"timeouts: {{connect: {connect}}}",
            more=f"  - upstream: http://{OTHER}:{port}",
        )
    )


@asynccontextmanager
async def proxy_to(names: Names, connect: str) -> AsyncIterator[tuple[Proxy, str]]:
    """Run a proxy with that plan and a server at its end; yield it and the server's port."""
    async with ScriptedUpstream(ALWAYS_OK) as upstream:
        port = upstream.authority.rpartition(":")[2]
        async with running_proxy(plan_with(port, connect)) as proxy:
            proxy.server.state.pools.resolver = Resolver(names)
            yield proxy, port


def get(path: bytes) -> bytes:
    """Return a request for `path`."""
    return b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path


async def test_f9_a_lookup_that_hangs_holds_up_nobody_else(names: Names) -> None:
    """F9: 50 requests wait for the name, in one thread; another name is served meanwhile."""
    released = names.hang(HUNG)
    async with proxy_to(names, "60s") as (proxy, _):
        waiting = [await proxy.client() for _ in range(CROWD)]
        for client in waiting:
            await client.send(get(b"/hung"))
        await eventually(lambda: HUNG in names.asked, "the lookup")
        async with await proxy.client() as client:
            assert (await client.exchange(get(b"/other"))).status == 200
        assert (names.asked, len(threads_for(HUNG))) == ([HUNG, OTHER], 1)
        for client in waiting[1:]:
            client.reset()
        released.set()
        assert (await waiting[0].response()).status == 200
        waiting[0].close()
        await eventually(lambda: not threads_for(HUNG), "the end of the thread")


async def test_f9_who_waits_for_a_lookup_waits_no_longer_than_connect(names: Names) -> None:
    """F9, O1: 504 for all, again and again, and still one thread; once released, all is well."""
    released = names.hang(HUNG)
    async with proxy_to(names, "200ms") as (proxy, _):
        for _ in range(2):
            clients = [await proxy.client() for _ in range(CROWD)]
            for client in clients:
                await client.send(get(b"/hung"))
            for client in clients:
                answer = await client.response()
                assert answer.status == 504
                assert answer.problem()["error"] == "upstream_connect_timeout"
                client.close()
        assert (names.asked, len(threads_for(HUNG))) == ([HUNG], 1)
        released.set()
        await eventually(lambda: not threads_for(HUNG), "the end of the thread")
        async with await proxy.client() as client:
            assert (await client.exchange(get(b"/hung"))).status == 200
        assert names.asked == [HUNG]


async def test_f9_a_reload_starts_no_second_thread(names: Names) -> None:
    """F9: neither a changed upstream, nor one that went and came back while its lookup hung."""
    names.hang(HUNG)
    async with proxy_to(names, "200ms") as (proxy, port), await proxy.client() as client:
        config, changed = proxy.server.state.config, plan_with(port, "300ms")
        without = config_of(one_route(f"http://{OTHER}:{port}"))
        for status, later in ((504, changed), (504, without), (200, config)):
            assert (await client.exchange(get(b"/hung"))).status == status
            proxy.server.state.replace_config(later)
            await eventually(
                lambda: not proxy.server.state.pools._retired, "the end of the old pools"
            )
            gc.collect()
        assert (await client.exchange(get(b"/hung"))).status == 504
        assert (names.asked.count(HUNG), len(threads_for(HUNG))) == (1, 1)


async def test_f9_the_loops_own_threads_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """F9: they are few, and shared by all; the system's resolver is asked in ours."""
    loop = asyncio.get_running_loop()
    ours = loop.getaddrinfo

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    async def literal_only(host: str, *args: Any, **options: Any) -> list[Any]:  # noqa: ANN401
        ip_address(host)  # uvloop asks for addresses, too, before it connects to them
        return await ours(host, *args, **options)

    monkeypatch.setattr(loop, "run_in_executor", never)
    monkeypatch.setattr(loop, "getaddrinfo", literal_only)
    async with ScriptedUpstream(ALWAYS_OK) as upstream:
        port = upstream.authority.rpartition(":")[2]
        async with running_proxy(one_route(f"http://localhost:{port}")) as proxy:
            client = await proxy.client()
            assert (await client.exchange(get(b"/"))).status == 200
            client.close()


async def test_f9_addresses_are_good_for_ten_seconds(names: Names, time: Time) -> None:
    """F9: then the name is looked up again, and what is new counts at once."""
    name = Resolver(names, time).name(OTHER)
    assert await found(name) == ["127.0.0.1"]
    names.addresses = ["127.0.0.2", "::1"]
    time.now += 9.9
    assert await found(name) == ["127.0.0.1"]
    time.now += 0.2
    assert await found(name) == ["127.0.0.2", "::1"]
    assert len(names.asked) == 2


@pytest.mark.parametrize("error", [UNKNOWN, OUT_OF_ORDER], ids=["unknown", "out of order"])
async def test_f9_a_failure_is_remembered_for_a_second(
    names: Names, time: Time, error: OSError
) -> None:
    """F9: whoever asks meanwhile gets it without a lookup."""
    name = Resolver(names, time).name(OTHER)
    names.error = error
    for _ in range(3):
        assert await failure_of(name) == error.errno
        time.now += 0.3
    assert len(names.asked) == 1
    time.now += 0.2
    names.error = None
    assert await found(name) == ["127.0.0.1"]
    assert len(names.asked) == 2


@pytest.mark.parametrize("why", ["they are old", "nobody could connect"])
async def test_f9_expired_addresses_serve_while_a_lookup_runs(
    names: Names, time: Time, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F9: the lookup gets a head start, counted once; then all are served, in one thread."""
    monkeypatch.undo()
    name = Resolver(names, time).name(HUNG)
    infos = await name.addresses()
    released = names.hang(HUNG)
    if why == "they are old":
        time.now += 11
    else:
        name.expire(infos)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await found(name) == ["127.0.0.1"]
    assert 0.2 < loop.time() - began < 1.2
    time.now += 0.3
    began = loop.time()
    for _ in range(100):
        assert await found(name) == ["127.0.0.1"]
    assert loop.time() - began < 1.0
    assert (len(names.asked), len(threads_for(HUNG))) == (2, 1)
    names.addresses = ["127.0.0.2"]
    released.set()
    await eventually(lambda: not threads_for(HUNG), "the end of the lookup")
    assert await found(name) == ["127.0.0.2"]


async def test_f9_a_lookup_that_is_quick_is_waited_for(names: Names, time: Time) -> None:
    """F9: an expired address may be another machine's by now: it serves only in an emergency."""
    name = Resolver(names, time).name(OTHER)
    await found(name)
    names.addresses = ["127.0.0.2"]
    time.now += 3600
    assert await found(name) == ["127.0.0.2"]


async def test_f9_a_slow_failure_does_not_expire_what_was_found_meanwhile(
    names: Names, time: Time
) -> None:
    """F9: who failed to connect to addresses that are gone says nothing about the new ones."""
    name = Resolver(names, time).name(OTHER)
    old = await name.addresses()
    name.expire(old)
    names.addresses = ["127.0.0.2"]
    assert await found(name) == ["127.0.0.2"]
    name.expire(old)
    assert await found(name) == ["127.0.0.2"]
    assert len(names.asked) == 2


async def test_f9_a_resolver_out_of_order_takes_no_address_away(names: Names, time: Time) -> None:
    """F9: with addresses that worked we go on, and ask again once a second."""
    name = Resolver(names, time).name(OTHER)
    await found(name)
    names.error = OUT_OF_ORDER
    time.now += 11
    for lookups in (2, 3):
        for _ in range(5):
            assert await found(name) == ["127.0.0.1"]
        assert len(names.asked) == lookups
        time.now += 1.1


async def test_f9_a_name_that_is_gone_has_no_address(names: Names, time: Time) -> None:
    """F9, F2: what the resolver denies is not served from memory."""
    name = Resolver(names, time).name(OTHER)
    await found(name)
    names.error = UNKNOWN
    time.now += 11
    for _ in range(2):
        assert await failure_of(name) == socket.EAI_NONAME
        time.now += 1.1


async def test_f9_who_leaves_does_not_end_the_lookup_of_others(names: Names) -> None:
    """F9, F6: a client that left, or waited long enough, takes nothing from the rest."""
    released = names.hang(HUNG)
    name = Resolver(names).name(HUNG)
    waiting = [asyncio.ensure_future(found(name)) for _ in range(3)]
    await eventually(lambda: bool(names.asked), "the lookup")
    waiting[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    released.set()
    assert await asyncio.gather(*waiting[1:]) == [["127.0.0.1"], ["127.0.0.1"]]
    assert names.asked == [HUNG]


async def test_f9_names_that_nobody_uses_are_forgotten(names: Names) -> None:
    """F9: what reloads leave behind does not add up; a name in use, or in flight, is kept."""
    resolver = Resolver(names)
    used = resolver.name(OTHER)
    await found(used)
    await found(resolver.name("gone.test"))
    released = names.hang(HUNG)
    left = asyncio.ensure_future(resolver.name(HUNG).addresses())
    await eventually(lambda: HUNG in names.asked, "the lookup")
    left.cancel()
    await asyncio.wait([left])
    del left
    await eventually(lambda: not threads_for("gone.test"), "the end of the thread")
    gc.collect()
    assert sorted(resolver._names) == [HUNG, OTHER]
    assert resolver.name(OTHER) is used
    released.set()


async def test_f9_no_thread_to_be_had_is_a_failure_for_a_second(
    names: Names, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F9: a limit of processes that is reached ends one request, not the worker."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    name = Resolver(names, time).name(OTHER)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert await failure_of(name) == socket.EAI_AGAIN
    time.now += 1.1
    assert await found(name) == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UnicodeError("label empty or too long"), socket.EAI_NONAME),
        (PermissionError(13, "Permission denied"), 13),
    ],
    ids=repr,
)
async def test_f9_whatever_a_lookup_fails_with_is_a_failure(
    names: Names, time: Time, error: Exception, expected: int
) -> None:
    """F9: and the name can be looked up again."""
    name = Resolver(names, time).name(OTHER)
    names.error = error
    assert await failure_of(name) == expected
    names.error = None
    time.now += 1.1
    assert await found(name) == ["127.0.0.1"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_f9_a_fault_of_the_thread_itself_releases_the_name(names: Names, time: Time) -> None:
    """F9: a bug, or no memory: it is reported as any thread's, and the next lookup can start."""
    name = Resolver(names, time).name(OTHER)
    names.error = MemoryError()
    assert await failure_of(name) == socket.EAI_FAIL
    names.error = None
    time.now += 1.1
    assert await found(name) == ["127.0.0.1"]


async def test_what_a_lookup_gives_has_no_port() -> None:
    """The system's own lookup and the scripted one give the same."""
    assert info("127.0.0.1") in list(Resolver()._look_up("127.0.0.1"))
