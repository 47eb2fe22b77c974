"""The sections of a configuration file as pydantic models."""
