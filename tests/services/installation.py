"""The installation of the compose file for as long as it is needed, out of Debian's packages.

Commands, settings and health checks are read from docker/compose.yaml; hosts, ports and folders are replaced.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.docker.compose import DOCKER, compose, example
from tests.services.postgres import Postgres, free_port, postgres, programs

START_S = 600.0
NOBODY = 10001
LOGIN = ("person", "the password of a person")
_HERE = Path(__file__).resolve().parents[2]


def missing() -> str:
    """Return the servers that are not installed."""
    found = {"PostgreSQL": programs(), **{name: shutil.which(name) for name in ("redis-server", "caddy")}}
    absent = [name for name, place in found.items() if place is None]
    return ", ".join(absent if os.geteuid() == 0 else [*absent, "root"])


class Installation:
    """All services of the compose file but the S3 server, each a process here.

    Parameters
    ----------
    folder : Path
        For everything.
    values : mapping
        What differs from .env.example.
    database : Postgres
        Running.
    """

    def __init__(self, folder: Path, values: Mapping[str, str], database: Postgres) -> None:
        self.folder = folder
        self.database = database
        self.ports = {name: free_port() for name in ("redis", "api1", "api2", "https", "proxy")}
        for name in ("models", "incoming", "scans", "store", "proxy"):
            (folder / name).mkdir()
        self.values = {**example(), **_secrets(), **values}
        self.services: dict[str, dict[str, Any]] = compose(self.values)["services"]
        self._moved = {
            "@postgres:5432": f"@127.0.0.1:{database.port}",
            "('postgres', 5432)": f"('127.0.0.1', {database.port})",
            "redis:6379": f"127.0.0.1:{self.ports['redis']}",
            "('redis', 6379)": f"('127.0.0.1', {self.ports['redis']})",
            "http://proxy:8080": f"http://127.0.0.1:{self.ports['proxy']}",
            "http://127.0.0.1:8080": f"http://127.0.0.1:{self.ports['proxy']}",
            "http://s3:8333": self.values.get("S3_ENDPOINT", ""),
            "dir /data": f"dir {folder / 'redis'}\nport {self.ports['redis']}\nbind 127.0.0.1",
            "redis-cli ping": f"redis-cli -p {self.ports['redis']} ping",
            "pg_isready": f"{database.bin}/pg_isready",
            "/models": str(folder / "models"),
            "/scans": str(folder / "scans"),
            "/incoming": str(folder / "incoming"),
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a service; the setting of no other server is in it."""
        ours = {key: str(value) for key, value in self.services[name].get("environment", {}).items()}
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "AWS_"))}
        state = {
            "PREFECT_HOME": str(self.folder / "state" / name),
            "XDG_DATA_HOME": str(self.folder / "proxy"),
            "PYTHONPATH": str(_HERE),
        }
        return {
            **kept, **state, "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1", "AWS_DEFAULT_REGION": "us-east-1",
            **{key: self._here(value, name) for key, value in ours.items()},
        }  # fmt: skip

    def command(self, name: str) -> list[str]:
        """Return the command of a service; that of the proxy's image is not in the compose file."""
        if name == "proxy":
            return ["caddy", "run", "--config", str(self.folder / "Caddyfile"), "--adapter", "caddyfile"]
        return self._words(self.services[name]["command"], name)

    def run(self, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a service that ends by itself."""
        return subprocess.run(
            self.command(name), env={**self.environment(name), **environment}, cwd=self.folder,
            capture_output=True, text=True, check=False, timeout=START_S,
        )  # fmt: skip

    def start(self, *names: str, user: str | int | None = None) -> None:
        """Start services together, and return once their health checks pass."""
        for name in names:
            with self.log(name).open("a") as log:
                self._processes[name] = subprocess.Popen(
                    self.command(name), env=self.environment(name), cwd=self.folder,
                    stdout=log, stderr=log, user=user, group=user, start_new_session=True,
                )  # fmt: skip
        deadline = time.monotonic() + START_S
        for name in names:
            while not self.healthy(name):
                if self._processes[name].poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{name}: {self.log(name).read_text()[-3000:]}")
                time.sleep(0.3)

    def healthy(self, name: str) -> bool:
        """Say whether the health check of a service passes."""
        kind, *test = self.services[name]["healthcheck"]["test"]
        words = ["sh", "-c", *test] if kind == "CMD-SHELL" else test
        done = subprocess.run(
            self._words(words, name), env=self.environment(name), capture_output=True, check=False
        )
        return done.returncode == 0

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> int:
        """End a service, and return its exit code."""
        process = self._processes.pop(name)
        process.send_signal(how)
        return process.wait(90)

    def stop_all(self) -> None:
        """End what runs, the last that was started first."""
        for name in reversed(list(self._processes)):
            self.stop(name)

    def log(self, name: str) -> Path:
        """Return the file of what a service says."""
        return self.folder / f"{name}.log"

    def api(self, name: str) -> str:
        """Return the address of an API server."""
        return f"http://127.0.0.1:{self.ports[name]}/api"

    @property
    def public(self) -> str:
        """Where people and other machines reach it."""
        return f"https://localhost:{self.ports['https']}"

    @property
    def authority(self) -> Path:
        """Certificate of the proxy's own authority."""
        return self.folder / "proxy" / "caddy" / "pki" / "authorities" / "local" / "root.crt"

    def _here(self, text: str, name: str) -> str:
        for there, here in self._moved.items():
            text = text.replace(there, here)
        port = self.ports.get(name)
        return text.replace("0.0.0.0", "127.0.0.1").replace("4200", str(port)) if "api" in name else text

    def _words(self, words: list[str], name: str) -> list[str]:
        module = {"prefect": "prefect", "agg2exp": "flows", "python": ""}
        first, *rest = (self._here(word, name) for word in words)
        if first not in module:
            return [first, *rest]
        return [sys.executable, *(["-m", module[first]] if module[first] else []), *rest]


@contextmanager
def installation(values: Mapping[str, str]) -> Iterator[Installation]:
    """Have the servers and the proxy running while the context lasts; nothing is deployed yet."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="agg2exp-installation-"))
        folder.chmod(0o755)  # several users' servers work in it
        stack.callback(shutil.rmtree, folder)
        database = stack.enter_context(postgres())
        made = Installation(folder, values, database)
        stack.callback(made.stop_all)
        _require_password(made)
        (folder / "redis").mkdir()
        shutil.chown(folder / "redis", "redis", "redis")
        made.start("redis", user="redis")
        migrated = made.run("migrate")
        assert migrated.returncode == 0, migrated.stderr
        made.start("api1")
        made.start("api2", "services")
        os.chown(folder / "proxy", NOBODY, NOBODY)
        proxy_file(made)
        made.start("proxy", user=NOBODY)
        yield made


def proxy_file(made: Installation) -> Path:
    """Write the proxy's file with the ports of here, for the version of Caddy that is here."""
    written = (DOCKER / "Caddyfile").read_text()
    for there, here in {
        "api1:4200": f"127.0.0.1:{made.ports['api1']}",
        "api2:4200": f"127.0.0.1:{made.ports['api2']}",
        "https_port 8443": f"https_port {made.ports['https']}",
        "http://:8080": f"http://:{made.ports['proxy']}",
    }.items():
        assert there in written
        written = written.replace(there, here)
    version = subprocess.run(["caddy", "version"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, version.split()[0].lstrip("v").split(".")[:2])) < (2, 8):
        written = written.replace("basic_auth", "basicauth")  # its name until then
    place = made.folder / "Caddyfile"
    place.write_text(written)
    return place


def _require_password(made: Installation) -> None:
    """Let PostgreSQL ask for a password, as its image does."""
    made.database.query(f"ALTER USER prefect PASSWORD '{made.values['POSTGRES_PASSWORD']}'")
    (made.database.folder / "data" / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    made.database.run("pg_ctl", "-D", str(made.database.folder / "data"), "reload")


def _secrets() -> dict[str, str]:
    login = "prefect:a-password-of-the-parts"
    hashed = subprocess.run(
        ["caddy", "hash-password", "--plaintext", LOGIN[1]], capture_output=True, text=True, check=True
    ).stdout.strip()
    return {
        "PUBLIC_URL": "https://localhost",
        "LOGIN_USER": LOGIN[0],
        "LOGIN_HASH": hashed,
        "PREFECT_LOGIN": login,
        "PREFECT_LOGIN_BASE64": base64.b64encode(login.encode()).decode(),
        "POSTGRES_PASSWORD": "a-password-of-postgres",
        "REDIS_PASSWORD": "a-password-of-redis",
        "S3_KEY": "testing",
        "S3_SECRET": "testing",
        "AGG2EXP_IDENTITY_KEY": "0123456789abcdef" * 4,
    }
