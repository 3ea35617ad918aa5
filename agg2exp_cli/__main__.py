"""Entry point: one line for whatever a user can mend, and an exit code for scripts."""

from __future__ import annotations

import logging
import os
import pwd
import sys
import tempfile
from pathlib import Path

import typer

from agg2exp_cli.exit_codes import DONE, INTERRUPTED, NOTHING, WRONG_USE

_MOST_LETTERS = 400
"""Of the text of a foreign error."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code; a user's own method may lie where it is run."""
    sys.path.append(str(Path.cwd()))
    _give_a_home()
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
    except Exception as error:
        if "--debug" in arguments:
            raise
        _fail(_told(error))
        return NOTHING
    return int(code or DONE)


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return WRONG_USE


def _told(error: Exception) -> str:
    """Return one line for what the machine refuses, or what no user can mend."""
    said = " ".join(str(error).split())[:_MOST_LETTERS]
    if isinstance(error, OSError) and error.strerror:
        place = error.filename or "this machine"
        return f"{place}: {error.strerror}; check the path, its permissions and the room that is left"
    if isinstance(error, MemoryError):
        return f"memory: not enough is free ({said}); close other programs, or give a smaller --window-batch"
    name = type(error).__name__
    return f"{name}: {said or 'nothing more is told'}; run it again with --debug, and report what that prints"


def _give_a_home() -> None:
    """Give a user whom no passwd file knows, as in a container, the name and home that libraries ask for."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ.setdefault("USER", f"user{os.getuid()}")
        if "HOME" not in os.environ:
            home = Path(tempfile.gettempdir(), f"agg2exp-{os.getuid()}")
            home.mkdir(mode=0o700, exist_ok=True)
            os.environ["HOME"] = str(home)
            print(
                f"no home folder is known: history and caches go to {home} (HOME names another)",
                file=sys.stderr,
            )


if __name__ == "__main__":
    main()
