"""Header rules: written, checked, compiled and applied."""
