"""Commands as the command lines themselves read them, and nothing run."""

from __future__ import annotations

import shlex
from typing import Any

import typer


def parsed(words: list[str]) -> tuple[str, dict[str, Any]]:
    """Return the command and the values that `agg2exp WORDS` would be run with; what is wrong raises."""
    name, *rest = words
    commands = _commands()
    assert name in commands, f"agg2exp has no command {name}"
    with commands[name].make_context(name, rest) as context:
        return name, dict(context.params)


def options(name: str) -> set[str]:
    """Return the options of a command of `agg2exp`."""
    return {option for parameter in _commands()[name].params for option in parameter.opts}


def command_names() -> set[str]:
    """Return the names of all commands of `agg2exp`."""
    return set(_commands())


def _commands() -> dict[str, Any]:
    from agg2exp_cli.app import app

    group = typer.main.get_group(app)
    return {name: group.get_command(None, name) for name in group.list_commands(None)}


def parsed_by_prefect(words: list[str]) -> str:
    """Return the name of the function that `prefect WORDS` would call; what is wrong raises."""
    from prefect.cli import _app as cli

    command, _, _ = cli._app.parse_args(words, exit_on_error=False, print_error=False)
    return command.__name__


def commands_in(shell: str) -> list[list[str]]:
    """Return the simple commands of a shell text, split into words, without variables set before them."""
    found = []
    for line in shell.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words:
            ends = [i for i, word in enumerate(words) if word in {"|", "&&", ";", "||", ">", "<", ">>"}]
            end = ends[0] if ends else len(words)
            simple = words[:end]
            while simple and "=" in simple[0] and not simple[0].startswith("-"):
                simple = simple[1:]
            if simple:
                found.append(simple)
            words = words[end + 1 :]
    return found
