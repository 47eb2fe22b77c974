"""Cookie rules: their settings, checks, compilation and application."""
