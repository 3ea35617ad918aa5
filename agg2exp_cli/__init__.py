"""The command line: `agg2exp`, a file a command."""
