"""What is installed collides with nothing: neither with a user's own files nor with other packages."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = {"agg2exp", "agg2exp_core", "agg2exp_cli"}
GENERIC = ("tasks", "flows", "deployments")


def test_the_wheel_installs_no_generic_name(tmp_path):
    """Another package's `tasks` can lie beside ours, since ours lies below `agg2exp`."""
    source = tmp_path / "source"
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.split("\n"):
        if name.endswith((".py", ".toml", "README.md", "LICENSE", "py.typed")) or (ROOT / name).is_symlink():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            if name and (ROOT / name).is_symlink():
                (source / name).symlink_to((ROOT / name).readlink())
            elif name and (ROOT / name).exists():
                (source / name).write_bytes((ROOT / name).read_bytes())
    wheel = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        "out",
        ".",
    ]
    subprocess.run(wheel, cwd=source, check=True, timeout=100)
    (made,) = (source / "out").glob("agg2exp-*.whl")
    names = zipfile.ZipFile(made).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == OURS
    for folder in GENERIC:
        here = {f"agg2exp/{path.relative_to(ROOT)}" for path in (ROOT / folder).rglob("*.py")}
        assert here <= set(names)


def test_a_users_own_files_are_not_imported_in_place_of_ours(tmp_path):
    for name in GENERIC:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('my own {name}.py was imported')\n")
    script = (
        "from agg2exp_cli.__main__ import main; import agg2exp.deployments.catalogue; main(['--version'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("agg2exp ")
