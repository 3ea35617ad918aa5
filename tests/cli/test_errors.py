"""What may leave the command line: an exit code and one line; a traceback with --debug alone."""

import subprocess

import prefect.exceptions
import pydicom.errors
import pytest
import torch
import typer
import zarr.errors

from agg2exp_cli import app as command_line
from agg2exp_cli.__main__ import run
from agg2exp_cli.exit_codes import INTERRUPTED, NOTHING, WRONG_USE
from agg2exp_core import errors

OURS = [errors.UsageError, errors.ScanError, errors.ModelError, errors.StoreError, errors.Agg2ExpError]
"""What a user can mend; the message says how."""
FOREIGN = [
    OSError,
    MemoryError,
    RecursionError,
    AssertionError,
    KeyError,
    UnicodeDecodeError,
    subprocess.CalledProcessError,
    torch.OutOfMemoryError,
    *(
        kind
        for module in (prefect.exceptions, pydicom.errors, zarr.errors)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == module.__name__
    ),
]
"""What libraries raise, as they may where nobody has thought of it."""


def made(kind):
    """An error of a kind, whatever its constructor wants."""
    told = {"__init__": lambda self: None, "__str__": lambda self: "first line\nsecond line"}
    return type(kind.__name__, (kind,), told)()


def raising(monkeypatch, error):
    def app(**_):
        raise error

    monkeypatch.setattr(command_line, "app", app)


def said(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("kind", FOREIGN, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_a_foreign_error_is_one_line_and_no_success(monkeypatch, capsys, kind):
    raising(monkeypatch, made(kind))
    assert run(["explain"]) == NOTHING
    said(capsys)
    with pytest.raises(kind):
        run(["explain", "--debug"])


@pytest.mark.parametrize("kind", OURS)
def test_an_error_of_ours_says_what_to_do(monkeypatch, capsys, kind):
    raising(monkeypatch, kind("file", got="this", allowed="that", remedy="do so"))
    assert run(["explain"]) == WRONG_USE
    assert said(capsys) == "error: file: this; allowed: that; do so\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), INTERRUPTED),
        (typer.Abort(), INTERRUPTED),
        (typer.BadParameter("x"), WRONG_USE),
        (PermissionError(13, "Permission denied", "/data"), NOTHING),
    ],
)
def test_what_ends_a_command_has_its_code(monkeypatch, capsys, error, code):
    raising(monkeypatch, error)
    assert run(["explain"]) == code
    assert ("/data: Permission denied" in said(capsys)) == isinstance(error, PermissionError)
