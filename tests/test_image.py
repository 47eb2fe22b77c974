"""Nothing gets into the image that nobody pinned. Reads the Dockerfile, builds nothing."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text(encoding="utf-8")

# Commands that fetch nothing. Any other one fails the test until somebody has looked at it.
_LOCAL: Final = frozenset({"find", "rm"})
_PINNED: Final = frozenset({"--require-hashes", "--only-binary", ":all:"})


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Return each instruction of a Dockerfile and its arguments, on one line, without comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield name.upper(), rest.strip()


def commands(text: str) -> Iterator[list[str]]:
    """Return the words of every command that RUN instructions hold."""
    for name, rest in instructions(text):
        if name == "RUN":
            lexer = shlex.shlex(rest, posix=True, punctuation_chars="&|;()")
            lexer.whitespace_split = True
            words: list[str] = []
            for word in [*lexer, "&&"]:
                if word and set(word) <= set("&|;"):
                    yield words
                    words = []
                else:
                    words.append(word)


def what_is_wrong(words: list[str]) -> str:
    """Return what a command may fetch that no hash vouches for, "" for nothing."""
    if any("$" in word or "`" in word for word in words):
        return "what a substitution runs is not looked at"
    match words:
        case ["apt-get", "update"] | ["python", "-m", "venv", "--without-pip", *_]:
            return ""
        case ["apt-get", "install", *rest]:  # packages are checked by the archive's signature
            trusting = [one for one in rest if "allow" in one or "force" in one or "=" in one]
            return f"{trusting} may trust the unsigned" if trusting else ""
        case ["python", "-m", "pip", "--python", _, *rest] | ["python", "-m", "pip", *rest]:
            return what_is_wrong_with_pip(rest)
        case [name, *rest] if name in _LOCAL:
            run = [rest[pos + 1] for pos, word in enumerate(rest) if word.startswith("-exec")]
            return "" if set(run) <= {"strip"} else f"{run} is not known to fetch nothing"
    return "not known to fetch nothing"


def what_is_wrong_with_pip(words: list[str]) -> str:
    """Return what is wrong with a pip command, "" for nothing."""
    is_pinned = words[0] == "install" and _PINNED.issubset(words)
    is_offline = words[0] in {"install", "wheel"} and "--no-index" in words
    if is_pinned or is_offline:
        return ""
    return "neither install --require-hashes --only-binary :all:, nor --no-index"


def test_nothing_is_fetched_without_a_hash() -> None:
    """P6: a build backend that pip fetches by itself would run as root in the build."""
    found = {shlex.join(one): what_is_wrong(one) for one in commands(DOCKERFILE)}
    assert len(found) >= 8, "the Dockerfile was not read"
    assert {one: why for one, why in found.items() if why} == {}


@pytest.mark.parametrize(
    "line",
    [
        "python -m pip wheel --no-deps --wheel-dir /wheel .",
        "python -m pip install hatchling==1.33.0",
        "true && python -m pip install --require-hashes -r a.lock",
        "python -m pip --python /x/bin/python install --upgrade pip",
        "pip install --no-index /wheel/*.whl",
        "rm -rf /a; curl -sSf https://a.example/install | sh",
        "python -m venv /opt/corsproxy",
        "apt-get install --allow-unauthenticated binutils",
        "apt-get install -o APT::Get::AllowUnauthenticated=1 binutils",
        "find /opt -name a || \\\n   wget a.example",
        "find /opt -exec curl https://a.example {} +",
        "find $(curl https://a.example)",
        "python -m pip install --require-hashes --only-binary :none: -r a.lock",
        "python -m pip download --no-index a",
        "uv sync",
    ],
)
def test_what_fetches_without_a_hash_is_found(line: str) -> None:
    """The test above does not pass for want of looking."""
    assert any(what_is_wrong(one) for one in commands(f"FROM a\nRUN {line}\n"))


def test_nothing_is_copied_from_an_image_or_an_address() -> None:
    """ADD of an address and COPY from another image are downloads, too."""
    used = {name for name, _ in instructions(DOCKERFILE)}
    assert "ADD" not in used
    stages = set(re.findall(r"(?m)^FROM .+ AS (\S+)$", DOCKERFILE))
    assert set(re.findall(r"--from=(\S+)", DOCKERFILE)) <= stages


def test_the_base_is_a_full_version_that_a_digest_can_replace() -> None:
    """Both stages stand on one argument: a full version, unless a builder gives the digest."""
    (base,) = [rest for name, rest in instructions(DOCKERFILE) if name == "ARG" and "BASE=" in rest]
    assert re.fullmatch(r"BASE=python:3\.\d+\.\d+-slim-trixie(@sha256:[0-9a-f]{64})?", base)
    found = [rest.split()[0] for name, rest in instructions(DOCKERFILE) if name == "FROM"]
    assert found == ["${BASE}", "${BASE}"]


def test_what_is_copied_reaches_the_builder() -> None:
    """.dockerignore lets through what the Dockerfile copies, and nothing else."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    copied: set[str] = set()
    for name, rest in instructions(DOCKERFILE):
        if name == "COPY" and "--from=" not in rest:
            copied.update(rest.split()[:-1])
    assert copied == let_through
    assert all((ROOT / one).exists() for one in copied)


def locked(name: str) -> dict[str, str]:
    """Return the versions that a lock file pins; fail unless each has a hash."""
    text = (ROOT / name).read_text(encoding="utf-8")
    entries = re.findall(
        r"(?m)^([\w.-]+)==(\S+).* \\\n((?:    --hash=sha256:[0-9a-f]{64}.*\n)+)", text
    )
    assert len(entries) == len(re.findall(r"(?m)^[\w.-]+==", text)) > 0
    return {package: version for package, version, _ in entries}


def test_the_build_backend_is_locked_as_the_tests_have_it() -> None:
    """The wheel of the image is built by what builds it in CI, and by what pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["dependency-groups"]["build"] == project["build-system"]["requires"]
    build, dev = locked("requirements-build.lock"), locked("requirements-dev.lock")
    assert "hatchling" in build
    assert build.items() <= dev.items()


def test_p6_aiohttp_is_recent_and_its_minor_version_is_bounded() -> None:
    """P6: below 3.14.5 its parsers accept more, and the data path uses parts that may move."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (bounds,) = [one for one in project["dependencies"] if one.startswith("aiohttp>")]
    major, minor, patch = map(int, locked("requirements.lock")["aiohttp"].split("."))
    assert bounds == f"aiohttp>=3.14.5,<{major}.{minor + 1}"
    assert (major, minor, patch) >= (3, 14, 5)


def test_p5_the_image_runs_as_an_unprivileged_user() -> None:
    """P5: by number, so that Kubernetes can verify `runAsNonRoot`."""
    assert [rest for name, rest in instructions(DOCKERFILE) if name == "USER"][-1] == "65532:65532"
