"""Figures about the project, each printed by a command: ``python -m benchmarks.NAME``."""
