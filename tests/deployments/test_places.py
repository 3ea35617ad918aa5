import pytest

from agg2exp.deployments.deployment import schedule_of
from agg2exp.deployments.workers import command, places
from agg2exp_core.errors import UsageError


@pytest.fixture(autouse=True)
def _all_of_the_machine_is_given(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_gpus_are_counted_among_those_that_are_given(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7a")
    found = places("all", n_gpus=2, n_cores=8)
    assert [place.name for place in found] == ["cuda:0", "cuda:1"]
    assert [place.environment["CUDA_VISIBLE_DEVICES"] for place in found] == ["5", "GPU-7a"]


def test_all_is_every_gpu_and_each_worker_sees_its_own_alone():
    found = places("all", n_gpus=3, n_cores=8)
    assert [place.name for place in found] == ["cuda:0", "cuda:1", "cuda:2"]
    assert [place.environment["CUDA_VISIBLE_DEVICES"] for place in found] == ["0", "1", "2"]


def test_without_a_gpu_all_is_one_worker_with_all_cores():
    (place,) = places("all", n_gpus=0, n_cores=8)
    assert (place.name, place.environment["OMP_NUM_THREADS"]) == ("cpu:0", "8")


def test_workers_on_the_cpu_share_its_cores():
    found = places("cpu:3", n_gpus=1, n_cores=8)
    assert [place.environment for place in found] == [
        {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "2"}
    ] * 3


def test_threads_that_the_environment_names_are_kept(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert {place.environment["OMP_NUM_THREADS"] for place in places("cpu:2", n_cores=8)} == {"3"}


def test_named_gpus_in_their_order():
    assert [place.name for place in places("cuda:2,cuda:0", n_gpus=3)] == ["cuda:2", "cuda:0"]


@pytest.mark.parametrize("devices", ["cuda:3", "cuda:0,cuda:0", "cpu:0", "cpu:x", "gpu", ""])
def test_what_is_not_a_device_is_refused(devices):
    with pytest.raises(UsageError, match="--devices"):
        places(devices, n_gpus=3)


def test_a_worker_takes_one_run_at_a_time_from_the_queues_in_their_order():
    (place,) = places("cuda:1", n_gpus=2)
    words = command(place, "gpu")
    assert words[words.index("--limit") + 1] == "1"
    assert [words[i + 1] for i, word in enumerate(words) if word == "--work-queue"] == ["nightly", "backfill"]


@pytest.mark.parametrize(
    ("cron", "zone"),
    [("0 2 * *", "UTC"), ("0 2 * * *", "Mars/Olympus"), ("", "UTC"), ("0 0 30 2 *", "UTC")],
)
def test_a_schedule_without_meaning_is_refused(cron, zone):
    with pytest.raises(UsageError, match="--cron"):
        schedule_of(cron, zone)
