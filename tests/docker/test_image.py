"""The image, built for real on a base of Debian's own packages, and run as the compose file runs it.

It installs everything that the project needs, which takes minutes and 10 GB: `make test-image`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2]
PROGRAMS = ("buildah", "debootstrap", "unshare", "chroot")

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(3600),
    pytest.mark.skipif("AGG2EXP_TEST_IMAGE" not in os.environ, reason="takes minutes: make test-image"),
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, PROGRAMS)), reason=f"needs root and {PROGRAMS}"
    ),
]

AS_COMPOSE_RUNS_IT = """
set -e
mount --bind "$ROOT" "$ROOT"
mount -o remount,bind,ro "$ROOT"
mount -t tmpfs tmpfs "$ROOT/tmp"
mount -t tmpfs -o uid=10001,gid=10001 tmpfs "$ROOT/state"
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
exec chroot --userspec=10001:10001 "$ROOT" /usr/bin/env -i "$@"
"""


class Image:
    """A built image, unpacked."""

    def __init__(self, folder: Path) -> None:
        self._storage = ["--root", str(folder / "root"), "--runroot", str(folder / "run")]
        self.root = Path()
        self.config: dict = {}

    def buildah(self, *words: str) -> str:
        command = ["buildah", *self._storage, "--storage-driver", "vfs", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout.strip()

    def unpack(self, name: str) -> None:
        self.config = json.loads(self.buildah("inspect", "--type", "image", name))["OCIv1"]["config"]
        container = self.buildah("from", "--pull-never", name)
        self.root = Path(self.buildah("mount", container))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        words = ["unshare", "--mount", "sh", "-c", AS_COMPOSE_RUNS_IT, "sh", *self.config["Env"], *command]
        return subprocess.run(
            words, env={**os.environ, "ROOT": str(self.root)}, capture_output=True, text=True, check=False
        )


def index_options(folder: Path) -> list[str]:
    """Hand the package index of this environment to the build, folders of wheels included."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    values = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        values.setdefault(name.rpartition(".")[2], value.strip("'\""))
    kept = {name: value for name, value in values.items() if name in INDEX_SETTINGS}
    settings = folder / "pip.conf"
    settings.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in kept.items()))
    paths = {Path(word.removeprefix("file://")) for value in kept.values() for word in value.split()}
    tops = {Path(*path.parts[:3]) for path in paths if path.is_absolute() and path.exists()}
    volumes = [f"{settings}:/etc/pip.conf:ro", *(f"{path}:{path}:ro" for path in sorted(tops))]
    return [word for volume in volumes for word in ("--volume", volume)]


INDEX_SETTINGS = {"cert", "default-timeout", "extra-index-url", "find-links", "index-url"}


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("image")
    packages = "--include=python3,python3-venv,ca-certificates"
    quiet = {"check": True, "capture_output": True}
    subprocess.run(["debootstrap", "--variant=minbase", packages, "bookworm", folder / "base"], **quiet)
    subprocess.run(["tar", "-C", folder / "base", "-cf", folder / "base.tar", "."], **quiet)
    shutil.rmtree(folder / "base")
    (folder / "Base").write_text("FROM scratch\nADD base.tar /\n")
    made = Image(folder)
    build = ("bud", "--isolation", "chroot", "--format", "docker")
    made.buildah(*build, "-t", "base", "-f", str(folder / "Base"), str(folder))
    try:
        made.buildah(
            *build, "--pull-never", "--build-arg", "BASE=localhost/base", *index_options(folder),
            "-t", "agg2exp", "-f", str(HERE / "docker" / "Dockerfile"), str(HERE),
        )  # fmt: skip
        made.unpack("localhost/agg2exp")
        yield made
    finally:
        made.buildah("rm", "--all")
        shutil.rmtree(folder)


def test_nobody_is_root_and_nothing_can_be_built_inside(image):
    assert image.config["User"] == "10001:10001"
    assert not image.config.get("Entrypoint")
    for program in ("gcc", "cc", "g++", "make", "pip", "pip3"):
        assert not list(image.root.glob(f"**/bin/{program}")), program
    installed = {path.name for path in image.root.glob("**/site-packages/*")}
    assert "agg2exp_core" in installed
    assert not {"pip", "setuptools"} & installed
    assert image.run("python", "-m", "pip").returncode != 0


def test_it_works_on_a_read_only_root(image):
    touched = image.run("touch", "/opt/agg2exp/new")
    assert "Read-only file system" in touched.stderr
    helped = image.run("agg2exp", "--help")
    assert (helped.returncode, "explain" in helped.stdout) == (0, True), helped.stderr
    checked = image.run("agg2exp", "doctor")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_commands_of_the_servers_are_there(image):
    for words in (["server", "start"], ["server", "services", "start"], ["server", "database", "upgrade"]):
        assert image.run("prefect", *words, "--help").returncode == 0
    assert image.run("python", "-c", "import asyncpg, prefect_redis, prefect_kubernetes").returncode == 0


def test_what_every_flow_needs_is_there(image):
    modules = "nnunetv2.utilities.get_network_from_plans, lightning_fabric, highdicom, altair"
    imported = image.run("python", "-c", f"import {modules}")
    assert imported.returncode == 0, imported.stderr
    assert "Read-only file system" not in imported.stderr
