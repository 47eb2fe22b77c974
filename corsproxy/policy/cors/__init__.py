"""CORS policies: written, checked, compiled and decided."""
