"""`check --print`: the output is equivalent to the file and contains no secret."""

from pathlib import Path
from typing import Final

import yaml

from corsproxy.config.effective import MASK, effective_text
from corsproxy.config.load import Loaded, load, load_text

ROOT: Final = Path(__file__).parents[2]

TEXT: Final = """
version: 1
upstreams:
  api: {url: "http://${HOST}:9000"}
routes:
  - upstream: api
    cors: {allow_origins: ["${ORIGINS}", "https://b.example"]}
    match: {host: "$${literal}.example", path: "${PATHS}"}
    response_headers:
      - set: {X-A: "${TOKEN}", X-B: "$${x} ${request.id}"}
      - set: {Set-Cookie: session=1234, X-Api-Key: "5678"}
"""
ENVIRON: Final = {
    "HOST": "hidden.internal",
    "ORIGINS": "https://hidden.example",
    "TOKEN": "hidden",
    "PATHS": "/hidden/",
}


def printed(loaded: Loaded) -> str:
    """Return what is printed for a valid file."""
    assert loaded.settings is not None
    assert loaded.document is not None
    return effective_text(loaded.settings, loaded.document)


def test_the_output_is_an_equivalent_file() -> None:
    """Loaded again, it gives the same settings."""
    loaded = load(ROOT / "config.example.yaml", {})
    again = load_text(printed(loaded), "printed.yaml", {})
    assert again.problems == ()
    assert again.settings == loaded.settings


def test_defaults_are_written_out() -> None:
    """R5: `--print` shows the effective configuration."""
    loaded = load_text("version: 1\nroutes: [{upstream: 'http://h', cors: false}]", "f.yaml", {})
    tree = yaml.safe_load(printed(loaded))
    assert tree["server"]["timeouts"]["keepalive"] == "75s"
    assert tree["routes"][0]["cors"] is False


def test_nothing_of_the_environment_is_printed() -> None:
    """L8: secrets never appear in `config` output; any value of the environment may be one."""
    loaded = load_text(TEXT, "f.yaml", ENVIRON)
    text = printed(loaded)
    assert "hidden" not in text
    tree = yaml.safe_load(text)
    assert tree["upstreams"]["api"]["url"] == MASK
    assert tree["routes"][0]["cors"]["allow_origins"] == [MASK, "https://b.example"]
    assert tree["routes"][0]["match"]["path"] == [MASK]


def test_headers_that_carry_credentials_are_masked() -> None:
    """A secret in the file itself is masked as well."""
    tree = yaml.safe_load(printed(load_text(TEXT, "f.yaml", ENVIRON)))
    assert tree["routes"][0]["response_headers"][1]["set"] == {
        "Set-Cookie": MASK,
        "X-Api-Key": MASK,
    }


def test_escapes_stay_escapes() -> None:
    """`$${` is printed as written, since `${` would be read as a reference."""
    tree = yaml.safe_load(printed(load_text(TEXT, "f.yaml", ENVIRON)))
    route = tree["routes"][0]
    assert route["match"]["host"] == ["$${literal}.example"]
    assert route["response_headers"][0]["set"] == {"X-A": MASK, "X-B": "$${x} ${request.id}"}
