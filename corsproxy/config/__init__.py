"""Reads, checks and compiles configuration files."""
