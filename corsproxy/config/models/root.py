"""Defines the top-level keys of the file."""

from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from corsproxy.config.models.policies import PolicySection
from corsproxy.config.models.routes import Cors, RouteSection
from corsproxy.config.models.server import HealthSection, LogSection, ServerSection
from corsproxy.config.models.types import Section, key, section
from corsproxy.config.models.upstreams import UpstreamSection
from corsproxy.config.yaml.scalars import PlainScalar


def _version(value: object) -> int:
    if isinstance(value, PlainScalar) and value.value == 1:
        return 1
    raise PydanticCustomError("version_unknown", "unknown version")


Version = Annotated[int, PlainValidator(_version), WithJsonSchema({"x-kind": "`1`", "const": 1})]


class DefaultsSection(Section):
    """Defaults for routes."""

    cors: Cors | None = key(
        None,
        "The policy of routes without cors, and of responses to requests that match no route: a name"
        " or an inline policy.",
        "spa",
    )


class Settings(Section):
    """A whole configuration file."""

    version: Version = key(..., "The version of the configuration language.", "1")
    server: ServerSection = section(ServerSection, "Where and how the proxy listens.")
    health: HealthSection = section(HealthSection, "The listener for probes and metrics.")
    log: LogSection = section(LogSection, "What is logged.")
    upstreams: dict[str, UpstreamSection] = key(
        {},
        "The servers that requests are forwarded to, by name.",
        "legacy",
    )
    policies: dict[str, PolicySection] = key({}, "CORS policies, by name.", "spa")
    defaults: DefaultsSection = section(DefaultsSection, "Defaults for routes.")
    routes: list[RouteSection] = key(..., "Which requests are forwarded where, under which policy.")
