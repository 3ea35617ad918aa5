"""A PostgreSQL of one's own for as long as it is needed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DATABASE = "prefect"


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, or None where it is not installed."""
    on_path = shutil.which("pg_ctl")
    if on_path is not None:
        return Path(on_path).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Postgres:
    """A cluster with one empty database.

    Parameters
    ----------
    folder : Path
        Where it lies.
    bin : Path
        PostgreSQL's programs.
    port : int
        On the loopback.
    """

    folder: Path
    bin: Path
    port: int

    @property
    def url(self) -> str:
        """For Prefect's server."""
        return f"postgresql+asyncpg://prefect@127.0.0.1:{self.port}/{DATABASE}"

    def start(self) -> None:
        """Start it, and return once it answers."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        self._control("start", "-o", options, "-l", str(self.folder / "log"))

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast`` ends connections, ``immediate`` is what a power cut does."""
        self._control("stop", "-m", mode)

    def query(self, sql: str) -> list[list[str]]:
        """Return what a statement gives, a list of texts a row."""
        words = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "prefect", "-d", DATABASE, "-AtF", "\t", "-c"]
        told = self.run("psql", *words, sql).stdout
        return [line.split("\t") for line in told.splitlines()]

    def _control(self, *words: str) -> None:
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-w", *words)

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs, as another user for root, whom it refuses."""
        user = "postgres" if os.geteuid() == 0 else None
        with tempfile.TemporaryFile("w+") as output:  # a pipe would stay open with the server
            done = subprocess.run(
                [str(self.bin / program), *words],
                user=user, group=user, cwd=self.folder, stdout=output, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
            output.seek(0)
            text = output.read()
        if done.returncode:
            raise RuntimeError(f"{program}: {text.strip()[-500:]}")
        return subprocess.CompletedProcess(done.args, 0, text)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Have a running PostgreSQL with an empty database while the context lasts."""
    found = programs()
    if found is None:
        raise RuntimeError("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="agg2exp-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        made = Postgres(folder, found, free_port())
        made.run("initdb", "-D", str(folder / "data"), "-U", "prefect", "-A", "trust", "-E", "UTF8")
        made.start()
        try:
            made.run("createdb", "-h", "127.0.0.1", "-p", str(made.port), "-U", "prefect", DATABASE)
            yield made
        finally:
            made.stop("immediate")
    finally:
        shutil.rmtree(folder)
