"""The kinds of problems in a file; collecting and printing problems."""
