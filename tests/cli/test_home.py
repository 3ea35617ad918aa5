"""A user whom no passwd file knows, as in a container, has a name and a home all the same."""

import getpass
import os
from pathlib import Path

from agg2exp.flows.server import state_folder
from agg2exp_cli.__main__ import _give_a_home

NOBODY = 987_654


def test_a_number_without_a_name_has_a_home_and_is_told(monkeypatch, tmp_path, capsys):
    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "AGG2EXP_HOME"):
        monkeypatch.setenv(name, "")  # so that it is as before afterwards, whether it was there or not
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "getuid", lambda: NOBODY)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _give_a_home()
    home = tmp_path / f"agg2exp-{NOBODY}"
    assert Path.home() == home
    assert home.stat().st_mode & 0o077 == 0
    assert str(home) in capsys.readouterr().err
    assert state_folder() == home / ".agg2exp"
    assert getpass.getuser() == f"user{NOBODY}"


def test_a_known_user_keeps_what_is_set(monkeypatch, capsys):
    monkeypatch.setenv("HOME", "/somewhere")
    _give_a_home()
    assert os.environ["HOME"] == "/somewhere"
    assert capsys.readouterr().err == ""
