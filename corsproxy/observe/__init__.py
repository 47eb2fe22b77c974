"""Logs and metrics of requests, made from records of what happened. Changes no request."""
