"""What a user may write, one module a section of the file."""
