"""The demo: a legacy API, a page on another origin, and the proxy between them."""
