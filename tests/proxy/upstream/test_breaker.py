"""The circuit breaker as a table of what happens and what it says (forwarding.md O7)."""

from corsproxy.proxy.upstream.breaker import Breaker, State


def broken(failures: int = 3, open_for: float = 10.0) -> Breaker:
    """Return a breaker that has just opened, at time 0."""
    breaker = Breaker(failures, open_for)
    for _ in range(failures):
        assert breaker.admits(0.0)
        breaker.record_failure(0.0)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    """O7: the third of three, not the second."""
    breaker = Breaker(3, 10.0)
    for _ in range(2):
        breaker.record_failure(0.0)
        assert breaker.state is State.closed
    breaker.record_failure(0.0)
    assert breaker.state is State.open
    assert not breaker.admits(9.9)


def test_a_success_between_them_starts_the_count_anew() -> None:
    """O7: in a row."""
    breaker = Breaker(3, 10.0)
    for _ in range(5):
        breaker.record_failure(0.0)
        breaker.record_failure(0.0)
        breaker.record_success()
    assert breaker.state is State.closed


def test_after_its_time_one_trial_is_let_through() -> None:
    """O7: one, and the others wait for what becomes of it."""
    breaker = broken()
    assert breaker.admits(10.0)
    assert breaker.state is State.half_open
    assert not breaker.admits(10.1)


def test_a_trial_that_gets_a_response_closes_the_circuit() -> None:
    """O7: and it takes all failures again to open it."""
    breaker = broken()
    assert breaker.admits(10.0)
    breaker.record_success()
    assert breaker.state is State.closed
    breaker.record_failure(10.0)
    assert breaker.admits(10.0)


def test_a_trial_that_fails_opens_it_for_as_long_again() -> None:
    """O7: one failure is enough then."""
    breaker = broken()
    assert breaker.admits(10.0)
    breaker.record_failure(12.0)
    assert breaker.state is State.open
    assert not breaker.admits(21.9)
    assert breaker.admits(22.0)


def test_a_trial_that_comes_to_nothing_gives_way_to_the_next() -> None:
    """A client that leaves during the trial must not keep the circuit open for ever."""
    breaker = broken()
    assert breaker.admits(10.0)
    assert not breaker.admits(19.9)
    assert breaker.admits(20.0)


def test_failures_of_requests_that_were_under_way_prolong_nothing() -> None:
    """O7: they say nothing new about an upstream that is left alone."""
    breaker = broken()
    breaker.record_failure(9.0)
    assert breaker.admits(10.0)
