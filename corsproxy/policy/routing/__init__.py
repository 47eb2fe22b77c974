"""Routes: matching requests, mapping paths and links."""
