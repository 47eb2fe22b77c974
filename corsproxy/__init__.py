"""A CORS reverse proxy that responds to preflights itself and reports why a request was blocked."""

from corsproxy.version import __version__

__all__ = ["__version__"]
