"""Reproductions of attacks on the running product, each with the bound that a rule gives."""
