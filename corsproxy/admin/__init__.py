"""The listeners for people and machines that look after the proxy. Knows no request on its way."""
