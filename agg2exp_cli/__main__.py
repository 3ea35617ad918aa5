"""Entry point: one line for whatever a user can mend, and an exit code for scripts."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import typer

from agg2exp_cli.exit_codes import DONE, INTERRUPTED, NOTHING, WRONG_USE


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code; a user's own method may lie where it is run."""
    sys.path.append(str(Path.cwd()))
    logging.getLogger("websockets").setLevel(logging.INFO)  # below it, the login at the API is logged
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    from agg2exp_cli.app import app
    from agg2exp_core.errors import Agg2ExpError

    try:
        code = app(args=arguments or ["--help"], prog_name="agg2exp", standalone_mode=False)
    except typer.TyperException as error:
        return _fail(" ".join(error.format_message().split()))
    except Agg2ExpError as error:
        if "--debug" in arguments:
            raise
        return _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted: finished work is kept; run the same command again to go on")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOTHING
    return int(code or DONE)


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return WRONG_USE


if __name__ == "__main__":
    main()
