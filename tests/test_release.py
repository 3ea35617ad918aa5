"""What results tell of the code that made them."""

import re
import shutil
import subprocess

import pytest

from agg2exp_core import release


@pytest.fixture
def version(monkeypatch):
    """The version as it is told from a folder, with what else is known."""

    def told(folder, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(release, "__file__", str(folder / "agg2exp_core" / "release.py"))
        return release.code_version.__wrapped__()

    monkeypatch.delenv(release.VARIABLE, raising=False)
    return told


def git(folder, *arguments):
    who = ("-c", "user.name=a", "-c", "user.email=a@localhost")
    subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="makes a checkout")
def test_the_commit_of_a_checkout_and_whether_it_was_changed(tmp_path, version):
    git(tmp_path, "init")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-m", "a")
    assert re.fullmatch(r"\S+\+g[0-9a-f]{12}", version(tmp_path, AGG2EXP_COMMIT="other"))
    (tmp_path / "a").write_text("2")
    assert version(tmp_path).endswith(".dirty")
    inside = tmp_path / "site-packages"
    inside.mkdir()
    assert version(inside).endswith("+gother")  # of somebody else's repository nothing is told


def test_what_an_image_says_or_the_release_alone(tmp_path, version):
    assert "+" not in version(tmp_path)
    assert version(tmp_path, AGG2EXP_COMMIT="1a2b3c").partition("+")[2] == "g1a2b3c"
