"""The SIMT engine: runner, loops, distribution and hooks."""
