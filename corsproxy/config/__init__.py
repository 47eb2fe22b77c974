"""Reads configuration files, checks them, and compiles them to what the proxy serves from."""
