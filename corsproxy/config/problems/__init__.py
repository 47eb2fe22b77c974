"""The kinds of problems in a file, and how problems are collected and printed."""
