"""Parses a YAML file to a tree of nodes with positions."""
