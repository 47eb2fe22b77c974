"""The version of this program. The build reads it here, and so do all modules."""

__version__ = "0.1.0"
