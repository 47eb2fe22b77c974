"""A process and its life: listening, serving, reloading, draining, supervising."""
