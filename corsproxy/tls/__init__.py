"""TLS contexts: loading them from files, and renewing them when the files change."""
