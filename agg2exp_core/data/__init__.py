"""Packaged files: the model that the demo uses."""
