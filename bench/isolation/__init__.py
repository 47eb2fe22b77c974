"""A fuzz that looks for bytes which cross from one request to another."""
