"""A CORS reverse proxy that answers preflights itself and says why a request was blocked."""

__version__ = "0.1.0"
