"""Cookie rules: written, checked, compiled and applied."""
