"""Reads configuration files, checks them, and compiles them to what the proxy serves from."""

from corsproxy.config.load import Fingerprint, Loaded, fingerprint, load, load_text
from corsproxy.config.problems.format import format_problems
from corsproxy.policy.problems import Problem

__all__ = [
    "Fingerprint",
    "Loaded",
    "Problem",
    "fingerprint",
    "format_problems",
    "load",
    "load_text",
]
