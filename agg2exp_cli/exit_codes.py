"""How a command ends, for scripts."""

DONE = 0
"""All that was asked is done."""
NOTHING = 1
"""Nothing could be done."""
WRONG_USE = 2
"""A parameter, path or model is wrong."""
SOME_FAILED = 3
"""Some scans failed; each is named with its reason."""
INTERRUPTED = 130
"""Ctrl-C; finished work is kept."""
