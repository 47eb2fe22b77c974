"""Which clients stall a transfer, and how many clients the descriptors suffice for: O2, O4, without sockets."""

from hypothesis import given
from hypothesis import strategies as st

from corsproxy.proxy.fd_limits import limits_for
from corsproxy.proxy.stall_detection import SLOWEST, StallDetector


def test_a_transfer_that_stands_still_does_so_since_the_first_look() -> None:
    """O4: what was never seen to move is as old as it is known."""
    pace = StallDetector(10.0, 500)
    assert [pace.look(now, 500) for now in (10.1, 11.0, 99.0)] == [10.0] * 3


def test_bytes_that_trickle_are_no_pace() -> None:
    """O4: a byte now and then keeps nothing alive; a kilobyte a second does."""
    trickle, steady = StallDetector(0.0, 0), StallDetector(0.0, 0)
    for second in range(1, 60):
        assert trickle.look(float(second), second * 100) == 0.0
        assert steady.look(float(second), second * SLOWEST) == second


@given(st.lists(st.tuples(st.floats(0.1, 3), st.integers(0, 5000)), max_size=50))
def test_the_time_it_kept_pace_never_goes_back(looks: list[tuple[float, int]]) -> None:
    """O4: it is a time that has been, and no earlier than the one returned before."""
    pace, now, moved, before = StallDetector(0.0, 0), 0.0, 0, 0.0
    for pause, more in looks:
        now, moved = now + pause, moved + more
        kept_at = pace.look(now, moved)
        assert before <= kept_at <= now
        before = kept_at


@given(st.integers(1, 100_000), st.integers(100, 1_000_000))
def test_descriptors_are_never_promised_twice(wanted: int, allowed: int) -> None:
    """O2: clients, those that are rejected, and a fifth of all for upstreams fit into the limit."""
    room = limits_for(wanted, allowed)
    assert 1 <= room.served <= wanted
    assert 1 <= room.held <= room.served
    if room.served > 1:
        assert room.served + room.held <= allowed * 0.8


def test_enough_descriptors_change_nothing() -> None:
    """O2: `max_connections` is what counts where the system allows it."""
    assert limits_for(10_000, 20_000).served == 10_000
    assert limits_for(10_000, 1024).served == 618
