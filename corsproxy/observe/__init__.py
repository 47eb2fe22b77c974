"""Logs and metrics of requests, made from records of their outcome."""
