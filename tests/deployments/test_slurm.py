"""The job script for Slurm, run with stand-ins of Slurm's programs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.commands import parsed

SCRIPT = Path(__file__).resolve().parents[2] / "deployments" / "slurm" / "workers.sbatch"

SRUN = """#!/bin/sh
echo "$@" > "$TOLD/srun"
env > "$TOLD/environment"
trap 'echo TERM > "$TOLD/signal"; exit 0' TERM
touch "$TOLD/ready"
n=0
while [ $n -lt 600 ]; do sleep 0.05; n=$((n + 1)); done
"""


@pytest.fixture
def slurm(tmp_path):
    """Stand-ins that write down what they were told, and an environment file."""
    programs = {
        "srun": SRUN,
        "nvidia-smi": "#!/bin/sh\necho GPU 0\n",
        "scontrol": '#!/bin/sh\necho "$@" > "$TOLD/scontrol"\n',
    }
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    settings = tmp_path / "environment.sh"
    settings.write_text("PREFECT_API_URL=http://server:4200/api\nAWS_SECRET_ACCESS_KEY='a secret'\n")
    settings.chmod(0o600)
    return tmp_path


def environment(slurm):
    path = f"{slurm / 'bin'}:{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "AWS_"))}
    return {**kept, "PATH": path, "TOLD": str(slurm), "SLURM_JOB_ID": "17"}


def submitted(slurm, *words):
    return subprocess.Popen(
        ["bash", str(SCRIPT), *words], env=environment(slurm), stderr=subprocess.PIPE, text=True
    )


def started(slurm):
    job = submitted(slurm, str(slurm / "environment.sh"))
    deadline = time.monotonic() + 30
    while not (slurm / "ready").exists():
        assert time.monotonic() < deadline
        assert job.poll() is None, job.stderr.read()
        time.sleep(0.02)
    return job


def test_the_script_passes_shellcheck():
    shellcheck = Path(sys.executable).parent / "shellcheck"
    done = subprocess.run([str(shellcheck), str(SCRIPT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_job_asks_for_a_requeue_and_for_time_to_end():
    asked = {line.split("--", 1)[1] for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")}
    assert {"requeue", "signal=B:USR1@120", "ntasks-per-node=1"} <= asked


@pytest.mark.parametrize(("number", "again"), [(signal.SIGTERM, False), (signal.SIGUSR1, True)])
def test_workers_start_with_the_settings_and_end_in_order(slurm, number, again):
    job = started(slurm)
    words = (slurm / "srun").read_text().split()
    start = words.index("agg2exp")
    assert parsed(words[start + 1 :]) == ("worker", {"devices": "all", "pool": "gpu", "debug": False})
    told = (slurm / "environment").read_text()
    assert "PREFECT_API_URL=http://server:4200/api" in told
    assert "AWS_SECRET_ACCESS_KEY=a secret" in told
    job.send_signal(number)
    _, complaints = job.communicate(timeout=30)
    assert (job.returncode, complaints) == (0, "")
    assert (slurm / "signal").read_text() == "TERM\n"
    assert (slurm / "scontrol").exists() == again
    if again:
        assert (slurm / "scontrol").read_text() == "requeue 17\n"


def refused(slurm, *words):
    job = submitted(slurm, *words)
    _, told = job.communicate(timeout=30)
    assert job.returncode == 2
    assert not (slurm / "srun").exists()
    assert len(told.strip().splitlines()) == 1
    return told


def test_what_cannot_work_is_refused_in_one_line(slurm):
    settings = slurm / "environment.sh"
    assert "no environment file" in refused(slurm)
    settings.chmod(0o644)
    assert "chmod 600" in refused(slurm, str(settings))
    settings.chmod(0o600)
    settings.write_text("AWS_SECRET_ACCESS_KEY=x\n")
    assert "PREFECT_API_URL" in refused(slurm, str(settings))
    settings.write_text("PREFECT_API_URL=http://server:4200/api\n")
    (slurm / "bin" / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    assert "no GPU" in refused(slurm, str(settings))
