"""TLS contexts and their renewal."""
