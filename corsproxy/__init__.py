"""A CORS reverse proxy that responds to preflights itself and reports why a request was blocked."""

__version__ = "0.1.0"
