"""Prefect tasks, one file a stage: open references, call the core, return a reference.

No array passes between tasks: a scan is its id, a model its path, a store its address.
"""
