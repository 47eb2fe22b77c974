"""Explains what the policy and a browser do with a request. Imports nothing but policy/."""
