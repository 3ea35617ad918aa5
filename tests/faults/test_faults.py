"""A batch on workers among faults ends, and its store is that of a batch without them.

The long one, by hand: ``make test-faults``.
"""

import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agg2exp.flows.explain import explain
from agg2exp.flows.server.environment import environment
from agg2exp_core import open_store
from agg2exp_core.pipeline.outcomes import ScanJob
from agg2exp_core.pipeline.settings import ExplainSettings
from tests.faults.batches import ended, noticed, report, send, stored
from tests.faults.installation import MISSING, installation
from tests.faults.monkey import Monkey, by_pool, random_kills
from tests.faults.slow import REFERENCE, SECONDS
from tests.flows.cohort import CLASS_NAMES, write_model, write_scan

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed (tests/services/install): {MISSING}")

MOST_ROUNDS = 3
"""A scan whose run is killed three times is named as lost, and done when the batch is run again."""


@dataclass(frozen=True)
class Size:
    """Scans, seconds of a class, kills, seconds between them, outages by number of kills, seconds in all."""

    n_scans: int
    class_s: float
    kills: list[str]
    pause_s: tuple[float, float]
    outages: dict[int, tuple[str, float]]
    most_s: float


LONG = Size(
    n_scans=24,
    class_s=3.0,
    kills=random_kills(20, seed=0),
    pause_s=(4.0, 10.0),
    outages={
        3: ("PostgreSQL", 20.0),
        7: ("Redis", 15.0),
        10: ("S3", 30.0),
        13: ("wire", 30.0),
        16: ("wire", 120.0),
    },
    most_s=1500.0,
)
SHORT = Size(
    n_scans=4,
    class_s=1.5,
    kills=["run", "batch"],
    pause_s=(4.0, 8.0),
    outages={1: ("PostgreSQL", 5.0)},
    most_s=600.0,
)


def relevant(contents: dict[str, bytes]) -> dict[str, bytes]:
    """What is computed: chunks of voxels, labels, matrices. Metadata and reports tell times."""
    return {key: content for key, content in contents.items() if "/c/" in key}


def nodes(contents: dict[str, bytes]) -> set[str]:
    """Keys of all that a store holds, but reports."""
    return {key for key in contents if not key.startswith(("report/", "failures/"))}


def undisturbed(folder: Path, scans: list[Path], settings: ExplainSettings) -> dict[str, bytes]:
    near = settings.model_copy(update={"store": str(folder / "near")})
    with environment({SECONDS: "0"}):
        explain([ScanJob(path.name.removesuffix(".nii.gz"), str(path)) for path in scans], near)
    return stored(near.store)


def batch_among_faults(folder: Path, size: Size) -> None:
    scans = [write_scan(folder / "scans" / f"s{n:02}.nii.gz", seed=n) for n in range(size.n_scans)]
    (folder / "scans" / "bad.nii.gz").write_bytes(b"no image")
    model = str(write_model(folder / "model"))
    with installation(folder, size.class_s) as place:
        settings = ExplainSettings(
            store=f"{place.bucket}/results", model=model, method=REFERENCE, label="slow", device="cpu"
        )
        place.deploy(settings)
        expected = undisturbed(folder, scans, settings)
        began = datetime.now(UTC)
        with (
            place.workers("cpu:2", "gpu"),
            place.workers("cpu:1", "gpu", by_wire=True),
            place.workers("cpu", "cpu"),
        ):
            told: list[str] = []
            lost: list[str] = []
            with Monkey(place, size.kills, size.pause_s, size.outages) as monkey:
                while not (told and is_done(told[-1], size.n_scans)) and len(told) < MOST_ROUNDS:
                    told.append(ended(send(folder / "scans", settings).id, size.most_s).state.message)
                    failures = open_store(settings.store).failures()
                    lost += [failure.reason for scan, failure in failures.items() if scan != "bad"]
        seen = noticed(monkey.faults)
        text = report(seen, began)
        seconds = (datetime.now(UTC) - began).total_seconds()
        ends = f"batches ended as: {told}\nscans lost on the way: {lost}"
        sys.stdout.write(f"{text}\n{ends}\nseconds in all: {seconds:.0f}\n")
        workers, runs = by_pool(place.processes())
        found = stored(settings.store)
        failures = open_store(settings.store).failures()
    assert monkey.error is None
    assert monkey.is_done, f"the batch ended after {monkey.n_killed} kills"
    assert is_done(told[-1], size.n_scans)
    assert list(failures) == ["bad"]
    assert [one for one in seen if one.fault.runs and not one.in_time] == []
    assert (workers, runs) == ({}, [])
    assert nodes(found) == nodes(expected)
    there, wanted = relevant(found), relevant(expected)
    assert sum("/attributions/slow/" in key for key in wanted) >= size.n_scans * len(CLASS_NAMES)
    assert [key for key in wanted if there[key] != wanted[key]] == []


def is_done(message: str | None, n_scans: int) -> bool:
    """Whether a batch left nothing but the bad scan; one that goes on keeps what it had finished before."""
    counts = re.fullmatch(r"(\d+) of (\d+) scans explained(?:; (\d+) kept)?", message or "")
    if counts is None:
        return False
    n_done, n_worked_on, n_kept = (int(count or 0) for count in counts.groups())
    return (n_done + n_kept, n_worked_on - n_done) == (n_scans, 1)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_few_faults(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    batch_among_faults(tmp_path, SHORT)


@pytest.mark.faults
@pytest.mark.timeout(3000)
def test_many_faults(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    batch_among_faults(tmp_path, LONG)
