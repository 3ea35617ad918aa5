"""An S3 server of one's own for as long as it is needed: Ceph's gateway over one OSD in memory."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import requests

from tests.services.postgres import free_port

PROGRAMS = ("ceph", "ceph-mon", "ceph-mgr", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
START_S = 60.0
_POLL_S = 0.2

_SETTINGS = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon_port}/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
run dir = {folder}
admin socket = {folder}/$name.socket
log file = {folder}/$name.log
keyring = {folder}/keyring
mon data = {folder}/mon
mon data avail crit = 1
mgr data = {folder}/mgr
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = {n_bytes}
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
mon allow pool size one = true
rgw data = {folder}/rgw
"""


def installed() -> bool:
    """Say whether Ceph's programs are there."""
    return all(map(shutil.which, PROGRAMS))


@dataclass
class Radosgw:
    """A cluster of one OSD with its gateway.

    Parameters
    ----------
    folder : Path
        Where it lies.
    n_bytes : int
        What it holds at most, in memory.
    port : int
        Of the gateway, on the loopback.
    access_key, secret_key : str
        Of the one user.
    """

    folder: Path
    n_bytes: int
    port: int = field(default_factory=free_port)
    access_key: str = "agg2exp"
    secret_key: str = field(default_factory=lambda: uuid.uuid4().hex)
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Of the gateway."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client has in its environment."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Start the cluster and its gateway; return once that answers."""
        fsid, mon_port = uuid.uuid4(), free_port()
        settings = _SETTINGS.format(folder=self.folder, fsid=fsid, mon_port=mon_port, n_bytes=self.n_bytes)
        (self.folder / "ceph.conf").write_text(settings)
        for name in ("mon", "mgr", "osd", "rgw"):
            (self.folder / name).mkdir()
        address = f"[v2:127.0.0.1:{mon_port}/0]"
        self._run("monmaptool", "--create", "--addv", "a", address, "--fsid", str(fsid), "monmap")
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", "monmap")
        self._serve("ceph-mon", "-i", "a")
        osd = str(uuid.uuid4())
        self._run("ceph", "osd", "new", osd)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._serve("ceph-osd", "-i", "0")
        self._serve("ceph-mgr", "-i", "x")
        keys = ("--access-key", self.access_key, "--secret", self.secret_key)
        self._run("radosgw-admin", "user", "create", "--uid", "agg2exp", "--display-name", "agg2exp", *keys)
        self.start_gateway()

    def start_gateway(self) -> None:
        """Start the gateway, and return once it answers."""
        self._serve("radosgw", "-n", "client.rgw", "--rgw-frontends", f"beast endpoint=127.0.0.1:{self.port}")
        deadline = time.monotonic() + START_S
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"radosgw did not answer: {self._told('radosgw')}")
            time.sleep(_POLL_S)

    def kill_gateway(self) -> None:
        """End the gateway as a machine that goes down would."""
        gateway = self._processes.pop("radosgw")
        gateway.kill()
        gateway.wait()

    def make_bucket(self) -> str:
        """Make an empty bucket, and return its address."""
        bucket = f"bucket-{uuid.uuid4().hex[:12]}"
        boto3.Session().client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        ).create_bucket(Bucket=bucket)
        return f"s3://{bucket}"

    def stop(self) -> None:
        """End all of it."""
        for process in reversed(self._processes.values()):
            process.kill()
            process.wait()

    def _answers(self) -> bool:
        try:
            return requests.get(self.url, timeout=5).ok
        except requests.ConnectionError:
            return False

    def _serve(self, program: str, *words: str) -> None:
        command = [program, "-c", "ceph.conf", "-f", *words]
        with (self.folder / f"{program}.out").open("wb") as output:
            self._processes[program] = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    def _run(self, program: str, *words: str) -> None:
        settings = () if program == "monmaptool" else ("-c", "ceph.conf")
        with (self.folder / f"{program}.out").open("wb") as output:
            done = subprocess.run(
                [program, *settings, *words],
                cwd=self.folder, stdout=output, stderr=subprocess.STDOUT, timeout=START_S, check=False,
            )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program}: {self._told(program)}")

    def _told(self, program: str) -> str:
        return (self.folder / f"{program}.out").read_text(errors="replace").strip()[-500:]


@contextmanager
def radosgw(n_bytes: int = 2**31) -> Iterator[Radosgw]:
    """Have a running S3 server without a bucket while the context lasts."""
    if not installed():
        raise RuntimeError(f"Ceph's gateway is not installed; on Debian: apt-get install {DEBIAN_PACKAGES}")
    folder = Path(tempfile.mkdtemp(prefix="agg2exp-radosgw-"))
    made = Radosgw(folder, n_bytes)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


DEBIAN_PACKAGES = "radosgw ceph-mon ceph-mgr ceph-osd ceph-common"
