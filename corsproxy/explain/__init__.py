"""Explains what the policy and a browser do with a request. Imports only policy/."""
