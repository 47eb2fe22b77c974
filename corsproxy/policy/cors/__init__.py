"""CORS policies: their settings, checks, compilation and decisions."""
