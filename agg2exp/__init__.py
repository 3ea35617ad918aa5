"""What agg2exp installs beside its core: tasks, flows and deployments of Prefect.

The folders of the same names stand at the top of the repository, where they are easily found; names as
common as theirs would collide with other packages, so they are installed below this one
(docs/decisions/0009-names.md).
"""
