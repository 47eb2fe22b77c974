"""The life of a process: listening, serving, reloading, draining, supervising."""
