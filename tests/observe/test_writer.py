"""A slow, full or closed pipe never blocks serving: operations.md M5."""

import os
import select
import threading
import time
from collections.abc import Iterator

import pytest

from corsproxy.observe.writer import MAX_WAITING, LineWriter

LINE = "x" * 999 + "\n"


def lost_line(count: int) -> str:
    """Return the line that reports how many were lost."""
    return f"lost {count}\n"


class Pipe:
    """A pipe with a writer on one end."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.open = {self.reading, self.writing}

    def close(self, end: int) -> None:
        """Close one end."""
        self.open.discard(end)
        os.close(end)

    def read_rest(self) -> str:
        """Return everything up to the end; our writing end is closed first."""
        self.close(self.writing)
        pieces = []
        while piece := os.read(self.reading, 1 << 20):
            pieces.append(piece)
        return b"".join(pieces).decode()

    def fill(self) -> None:
        """Fill it to the brim."""
        os.set_blocking(self.writing, False)
        try:
            while True:
                os.write(self.writing, b"f\n" * 2048)
        except BlockingIOError:
            os.set_blocking(self.writing, True)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Make a pipe."""
    made = Pipe()
    yield made
    for end in [*made.open]:
        made.close(end)


def test_every_line_arrives_in_order(pipe: Pipe) -> None:
    """Closing writes what is left: nothing is lost at the end."""
    writer = LineWriter(pipe.writing, lost_line)
    lines = [f"line {number}\n" for number in range(2000)]
    for line in lines:
        writer.write(line)
    writer.close()
    assert pipe.read_rest() == "".join(lines)
    assert writer.lost == 0


def test_a_full_pipe_blocks_nothing(pipe: Pipe) -> None:
    """Entering a line takes no time while nobody reads; what is beyond the bound is counted."""
    pipe.fill()
    writer = LineWriter(pipe.writing, lost_line)
    began = time.perf_counter()
    number = 2 * MAX_WAITING // len(LINE)
    for _ in range(number):
        writer.write(LINE)
    assert time.perf_counter() - began < 1.0
    assert number // 3 < writer.lost < number
    began = time.perf_counter()
    writer.close(0.2)
    assert time.perf_counter() - began < 1.0
    free(pipe)


def free(pipe: Pipe) -> None:
    """Read until the writer's thread has ended: it must not outlive the pipe."""
    threads = [one for one in threading.enumerate() if one.name == "line-writer"]
    while any(one.is_alive() for one in threads):
        if select.select([pipe.reading], [], [], 0.01)[0]:
            os.read(pipe.reading, 1 << 20)


def test_lost_lines_are_reported_when_somebody_reads_again(pipe: Pipe) -> None:
    """The reader learns how many lines it missed, behind those that waited for it."""
    pipe.fill()
    writer = LineWriter(pipe.writing, lost_line)
    for _ in range(2 * MAX_WAITING // len(LINE)):
        writer.write(LINE)
    lost, read = writer.lost, bytearray()
    while f"lost {lost}\n".encode() not in read[-100:]:
        assert select.select([pipe.reading], [], [], 5.0)[0], f"nothing more after {read[-100:]!r}"
        read += os.read(pipe.reading, 1 << 20)
    assert read.count(b"x" * 999) == 2 * MAX_WAITING // len(LINE) - lost
    writer.write("after\n")
    writer.close()
    assert pipe.read_rest() == "after\n"


def test_a_pipe_that_does_not_block_is_waited_for(pipe: Pipe) -> None:
    """Standard output may be non-blocking: no line is cut when the pipe is full."""
    os.set_blocking(pipe.writing, False)
    writer = LineWriter(pipe.writing, lost_line)
    for _ in range(500):
        writer.write(LINE)
    writer.close(0.3)
    read = bytearray()
    while len(read) < 500 * len(LINE):
        assert select.select([pipe.reading], [], [], 5.0)[0], f"only {len(read)} bytes came"
        read += os.read(pipe.reading, 1 << 20)
    assert read.decode() == LINE * 500
    free(pipe)


@pytest.mark.filterwarnings("error")
def test_a_closed_reader_is_not_an_error(pipe: Pipe) -> None:
    """The lines count as lost, nothing is raised, and the next reader gets the number."""
    pipe.close(pipe.reading)
    writer = LineWriter(pipe.writing, lost_line)
    writer.write(LINE)
    writer.close()
    assert writer.lost == 1


def test_lines_of_several_writers_stay_whole(pipe: Pipe) -> None:
    """Workers share a pipe that is always nearly full: no line is torn."""
    writers = [LineWriter(pipe.writing, lost_line) for _ in range(4)]
    expected = []
    for number, writer in enumerate(writers):
        for count in range(300):
            line = f"{number} {count} " + str(number) * 700 + "\n"
            writer.write(line)
            expected.append(line)
    read = bytearray()
    size = sum(map(len, expected))
    while len(read) < size:
        assert select.select([pipe.reading], [], [], 5.0)[0], f"only {len(read)} of {size} bytes"
        read += os.read(pipe.reading, 3000)
    for writer in writers:
        writer.close()
    assert sorted(read.decode().splitlines(keepends=True)) == sorted(expected)
