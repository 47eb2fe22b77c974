"""Requests whose spelling bypasses a stricter route or a header rule (H1, S6, S5)."""

from typing import Final

from bench.attacks.attack import Attack
from bench.attacks.claims import Claim, all_of, none_of
from bench.attacks.clients import get, status
from bench.attacks.product import Scene, config
from bench.attacks.upstreams import Recorder, path_of

# The stricter routes add this to what they forward: a head without it has bypassed them.
_MARK: Final = "request_headers: [{set: {X-Strict: 'yes'}}]"
_STRICT: Final = f"""\
  - {{name: admin, upstream: legacy, cors: false, match: {{path: /admin/}}, {_MARK}}}
  - {{name: host, upstream: legacy, cors: false, match: {{host: admin.test}}, {_MARK}}}
"""
# Each of them is /admin/s to a server that decodes it, or the host of the stricter route.
_PATHS: Final = (
    *(b"/%61dmin/s", b"/adm%69n/s", b"/%61%64%6D%69%6e/s"),
    *(b"/open/..%3b/admin/s", b"/open/%2e%2e%3b/admin/s", b"/open/.%3bx/..%3bx/admin/s"),
)
_HOSTS: Final = (b"admin.test.", b"ADMIN.test.", b"admin%2etest", b"admin.test.:80")

_KEY: Final = "request_headers: [{set: {X-Api-Key: secret}}, {remove: [X-Role]}]"
_NAMES: Final = (b"X_Api_Key", b"x-api_key", b"X_Api-Key", b"X_Role")


async def _paths(scene: Scene) -> list[Claim]:
    return await _pass_by(scene, [get(path) for path in _PATHS])


async def _hosts(scene: Scene) -> list[Claim]:
    return await _pass_by(scene, [get(b"/s", host=host) for host in _HOSTS])


async def _pass_by(scene: Scene, requests: list[bytes]) -> list[Claim]:
    """Send requests that belong to the stricter route; count those that reach the upstream without it."""
    upstream, honest = Recorder(), get(b"/admin/s", host=b"admin.test")
    async with upstream.running() as port, scene.proxy(config(port, more=_STRICT)) as proxy:
        plain = await status(proxy.port, honest) == 200
        for request in requests:
            await status(proxy.port, request)
    passed = [path_of(head) for head in upstream.heads if b"\r\nX-Strict: yes\r\n" not in head]
    return [
        none_of(len(passed), len(requests), "spellings bypassed the stricter route"),
        all_of(int(plain), 1, "plain requests served"),
    ]


async def _names(scene: Scene) -> list[Claim]:
    """Send fields that CGI, WSGI and PHP merge with those of the route's rules."""
    upstream = Recorder()
    async with upstream.running() as port, scene.proxy(config(port, route=_KEY)) as proxy:
        for name in _NAMES:
            await status(proxy.port, get(b"/", name + b": mine"))
    passed = sum(bool(upstream.values(name)) for name in _NAMES)
    ruled = upstream.values(b"X-Api-Key").count(b"secret")
    return [
        none_of(
            passed, len(_NAMES), "spellings reached the upstream in addition to the rule's field"
        ),
        all_of(ruled, len(_NAMES), "requests with the rule's own field"),
    ]


ATTACKS: Final = (
    Attack("11-path", "H1, cors.md 71", "a stricter route's path, spelled in another way", _paths),
    Attack("11-host", "S5, cors.md 72", "a stricter route's host, spelled in another way", _hosts),
    Attack("12-names", "S6", "X_Api_Key beside the rule's X-Api-Key", _names),
)
