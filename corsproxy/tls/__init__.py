"""TLS contexts made from files, and their renewal."""
