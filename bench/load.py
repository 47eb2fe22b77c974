"""Sends load to a port with wrk and reports the number of responses."""

import http.client
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.scenarios import STRANGER, Scenario

CONNECTIONS = 64
# Seconds within which the slowest peer has started on a busy machine.
START_LIMIT = 15.0

_LUA = """
wrk.method = {method}
{headers}
wrk.body = {body}
{varied}
done = function(summary)
  local e = summary.errors
  io.write(string.format("\\nBENCH %d %d %d\\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.timeout))
end
"""

# The path and the origin of every request are new, within a range that no cache of a proxy covers.
_VARIED = """
local count = 0
request = function()
  count = count + 1
  if count % 2 == 0 then wrk.headers["Origin"] = {origin}
  else wrk.headers["Origin"] = {stranger} .. count end
  return wrk.format(nil, wrk.path .. "?page=" .. count)
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """The result of one run of the load tool."""

    requests: int
    seconds: float


class LoadError(Exception):
    """A run whose figures are meaningless; the text states which scenario, which port, and why."""


def _script(scenario: Scenario) -> str:
    quoted = json.dumps
    headers = "\n".join(
        f"wrk.headers[{quoted(k)}] = {quoted(v)}" for k, v in scenario.headers.items()
    )
    varied = _VARIED.format(
        origin=quoted(scenario.headers["Origin"]),
        stranger=quoted(STRANGER + ":"),
    )
    return _LUA.format(
        method=quoted(scenario.method),
        headers=headers,
        body=f'string.rep("x", {scenario.body_bytes})' if scenario.body_bytes else "nil",
        varied=varied if scenario.varied else "",
    )


def put(scenario: Scenario, *, port: int, seconds: float, core: str, folder: Path) -> Load:
    """Send `scenario` to `port` of the loopback over 64 connections for `seconds` from core `core`.

    Raises LoadError if wrk failed, a connection broke, or there was no response.
    """
    script = folder / f"{scenario.name}.lua"
    script.write_text(_script(scenario))
    command = ["taskset", "-c", core, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s"]
    command += ["-s", str(script), f"http://127.0.0.1:{port}{scenario.path}"]
    ran = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    figures = [line.split()[1:] for line in ran.stdout.splitlines() if line.startswith("BENCH ")]
    if ran.returncode or not figures:
        raise LoadError(f"{scenario.name} on port {port}: wrk failed: {ran.stderr or ran.stdout}")
    requests, microseconds, errors = map(int, figures[0])
    if errors or not requests:
        raise LoadError(
            f"{scenario.name} on port {port}: {requests} responses, {errors} broken connections; "
            "the figures of such a run mean nothing: look at the proxy's own output",
        )
    return Load(requests, microseconds / 1e6)


def sample(scenario: Scenario, *, port: int) -> str | None:
    """Send `scenario` once and return what is wrong with the response, or None."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(
            scenario.method,
            scenario.path,
            body=b"x" * scenario.body_bytes or None,
            headers=scenario.headers,
        )
        answer = connection.getresponse()
        return scenario.fault(answer, answer.read())
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        connection.close()


def wait_for_answer(port: int, *, alive: Callable[[], bool]) -> None:
    """Send requests to `port` until one gets a 200.

    Raises LoadError after START_LIMIT seconds, or as soon as its process is not `alive`.
    """
    began = time.perf_counter()
    while alive() and time.perf_counter() - began < START_LIMIT:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_LIMIT)
        try:
            connection.request("GET", "/small.json")
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass  # not listening yet
        finally:
            connection.close()
        time.sleep(0.002)
    how = f"within {START_LIMIT:.0f} s" if alive() else "before its process ended"
    raise LoadError(f"port {port} gave no 200 {how}")
