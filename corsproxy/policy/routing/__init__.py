"""Routes: how requests are matched, and how paths and links are mapped."""
