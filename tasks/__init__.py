"""Prefect tasks: open references, call the core, return a reference."""
