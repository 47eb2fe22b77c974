"""The attacks of `bench/attacks`: their verdicts, their table, and that the right code is attacked."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench.attacks import claims, suite, table
from bench.attacks.__main__ import attempt
from bench.attacks.attack import Attack
from bench.attacks.claims import Claim
from bench.attacks.clients import get, status
from bench.attacks.product import HERE, Checkout, DidNotStart, Proxy, Scene, WrongCode, config
from bench.attacks.strict import SECRET, Body, Strict
from bench.attacks.upstreams import Recorder
from bench.attacks.waits import Waits
from bench.cpu import processes


def _waits(*seconds: float, **failures: int) -> Waits:
    waits = Waits()
    waits.seconds += seconds
    waits.failures.update(failures)
    return waits


async def _never_run(_: Scene) -> list[Claim]:
    raise DidNotStart("no such key\nand more")


ATTACK = Attack("0-test", "S12", "a test | of the table", _never_run)


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        (claims.memory(29.9), "held"),
        (claims.memory(30.1), "broken"),
        (claims.none_of(0, 9, "x"), "held"),
        (claims.none_of(1, 9, "x"), "broken"),
        (claims.all_of(9, 9, "x"), "held"),
        (claims.all_of(8, 9, "x"), "broken"),
        (claims.at_most(4, 4, "x"), "held"),
        (claims.at_most(5, 4, "x"), "broken"),
        (claims.at_least(4, 4, "x"), "held"),
        (claims.at_least(3, 4, "x"), "broken"),
        (claims.within(2.5, 2.5, "x"), "held"),
        (claims.within(2.6, 2.5, "x"), "broken"),
        (claims.not_run("no compiler"), "not run"),
        (claims.no_such_key("pool.reuse"), "broken"),
    ],
)
def test_verdicts(claim: Claim, verdict: str) -> None:
    """A bound that is reached is held; one that is passed is broken."""
    assert claim.verdict == verdict


@pytest.mark.parametrize(
    ("during", "quiet", "verdict"),
    [
        (_waits(0.4, 0.4), _waits(0.01), "held"),  # what a busy machine may do
        (_waits(0.6, 0.6), _waits(0.01), "broken"),
        (_waits(0.6, 0.6), _waits(0.35), "held"),  # at most twice as slow as it was
        (_waits(0.01, TimeoutError=1), _waits(0.01), "broken"),
        (_waits(), _waits(0.01), "broken"),  # no client was served, so there is no latency
    ],
)
def test_others_are_undisturbed(during: Waits, quiet: Waits, verdict: str) -> None:
    """S9: the p99 of others is at most twice that of a quiet moment, and none of them fails."""
    assert claims.undisturbed("others", during, quiet).verdict == verdict


def test_an_attack_is_held_only_if_all_its_bounds_are() -> None:
    """One broken bound breaks an attack; without a measurement the verdict is not `held`."""
    held, broken, not_run = (
        claims.all_of(1, 1, ""),
        claims.all_of(0, 1, ""),
        claims.not_run(""),
    )
    assert claims.verdict_of([held, held]) == "held"
    assert claims.verdict_of([held, broken, not_run]) == "broken"
    assert claims.verdict_of([held, not_run]) == "not run"
    assert claims.verdict_of([]) == "not run"


def test_the_table() -> None:
    """The first row of an attack has its name; only Markdown has its title, with bars escaped."""
    results = [(ATTACK, [claims.memory(1), claims.none_of(2, 3, "lost")])]
    assert table.as_text(results).splitlines() == [
        "attack  measured      bound           verdict",
        "0-test  memory +1 MB  at most +30 MB  held",
        "        2 of 3 lost   none            broken",
    ]
    assert table.as_markdown(results).splitlines() == [
        "| attack | measured | bound | verdict |",
        "| --- | --- | --- | --- |",
        r"| 0-test: a test \| of the table (S12) | memory +1 MB | at most +30 MB | held |",
        "|  | 2 of 3 lost | none | broken |",
    ]
    assert not table.passed(results)
    assert table.summary(results) == "1 attacks: 0 held, 1 broken, 0 not run"


def test_attacks_are_chosen_by_name_or_number() -> None:
    """Each attack has a name of its own that begins with its number."""
    names = [attack.name for attack in suite.SUITE]
    assert len(set(names)) == len(names)
    assert {int(name.partition("-")[0]) for name in names} == {*range(1, 18), 19}
    assert suite.chosen([]) == list(suite.SUITE)
    assert [attack.name for attack in suite.chosen(["12-names"])] == ["12-names"]
    assert [attack.name for attack in suite.chosen(["3"])] == ["3-unread", "3-slow"]
    with pytest.raises(KeyError):
        suite.chosen(["1-length", "20"])


async def test_an_attack_that_fails_is_a_broken_bound() -> None:
    """The error that ended an attack is reported on one line."""
    told = await attempt(ATTACK, Checkout(HERE))
    assert told == [
        Claim("did not end: no such key", "ends", held=False),
    ]


@pytest.mark.parametrize(
    ("body", "swallowed"),
    [(b"a" * 10, False), (b"a" * 5 + b"GET /open/x HTTP/1.1\r\n", True), (SECRET, True)],
)
async def test_the_strict_upstream_sees_a_request_in_a_body(
    body: bytes, *, swallowed: bool
) -> None:
    """S12: a body that contains another client's first line or cookie is a request that was swallowed."""
    strict, reader = Strict(), asyncio.StreamReader()
    head = b"POST /open/x HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    reader.feed_data(body)
    strict.note(await Body(head, reader).rest())
    assert strict.swallowed == swallowed


async def test_the_strict_upstream_sees_a_request_where_a_chunk_size_should_be() -> None:
    """S12: the same in a chunked body, whose framing is lost there."""
    strict, reader = Strict(), asyncio.StreamReader()
    reader.feed_data(b"3\r\nabc\r\nGET /open/x HTTP/1.1\r\nHost: a\r\n\r\n")
    strict.note(await Body(b"\r\nTransfer-Encoding: chunked\r\n\r\n", reader).rest())
    assert strict.swallowed == 1


def _folder_of(pid: int) -> Path:
    return Path(f"/proc/{pid}/cwd").readlink()


@asynccontextmanager
async def _workers(root: Path, folder: Path) -> AsyncIterator[Proxy]:
    """Run two workers from the checkout at `root`."""
    async with (
        Recorder().running() as port,
        Scene(Checkout(root), folder).proxy(config(port, server="workers: 2")) as proxy,
    ):
        yield proxy


@pytest.mark.slow
async def test_the_code_of_another_checkout_runs_in_its_workers_too(tmp_path: Path) -> None:
    """Every process of the product is of the checkout under attack, not of the installed one."""
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "corsproxy").symlink_to(HERE / "corsproxy")
    async with _workers(root, tmp_path) as proxy:
        found = processes(proxy.process.pid)
        assert len(found) == 3
        assert {_folder_of(pid) for pid in found} == {root}
        assert await status(proxy.port, get(b"/")) == 200
        proxy._checkout = Checkout(HERE)
        with pytest.raises(WrongCode):  # as if the running code were not the one under attack
            await proxy.started()
    assert proxy.process.returncode == -signal.SIGKILL


def test_a_folder_without_the_product_is_refused(tmp_path: Path) -> None:
    """The installed code is not mistaken for another checkout's."""
    with pytest.raises(WrongCode):
        Checkout(tmp_path).check()
    ran = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "bench.attacks", "--against", str(tmp_path)],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "is not a checkout" in ran.stderr


@pytest.mark.slow
async def test_an_attack_on_this_checkout(tmp_path: Path) -> None:
    """S6: an attack runs to its end against the product and returns its measurements."""
    (attack,) = suite.chosen(["12-names"])
    passed, ruled = await attack.run(Scene(Checkout(HERE), tmp_path))
    assert passed.measured.endswith("reached the upstream in addition to the rule's field")
    assert ruled.verdict == "held"
