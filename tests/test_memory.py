"""Free memory: the machine's, within the limits of a container."""

import psutil
import pytest
import torch

from agg2exp_core import memory
from agg2exp_core.errors import ScanError
from agg2exp_core.execution import available_bytes
from agg2exp_core.memory import cgroup_bytes, free_bytes, require_memory

GB = 10**9


@pytest.fixture
def cgroups(tmp_path):
    """Return what makes control groups as a kernel shows them, and says what their limits leave."""
    own = tmp_path / "self"

    def make(lines, groups):
        own.write_text("".join(f"{line}\n" for line in lines))
        for folder, files in groups.items():
            group = tmp_path / "cgroup" / folder
            group.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (group / name).write_text(f"{content}\n")
        return list(cgroup_bytes(tmp_path / "cgroup", own))

    return make


def v2(limit, used, inactive):
    stat = f"anon 5\nfile 7\ninactive_anon 3\ninactive_file {inactive}\nactive_file 9"
    return {"memory.max": limit, "memory.current": used, "memory.stat": stat}


def v1(limit, used, inactive):
    stat = f"cache 8\ninactive_file 1\nhierarchical_memory_limit {limit}\ntotal_inactive_file {inactive}"
    return {"memory.limit_in_bytes": limit, "memory.usage_in_bytes": used, "memory.stat": stat}


def test_cache_that_can_be_reclaimed_is_free(cgroups):
    assert cgroups(["0::/"], {"": v2(8 * GB, 7 * GB, 4 * GB)}) == [5 * GB]


def test_the_limits_of_groups_above_count_too(cgroups):
    groups = {
        "job.slice/step": v2("max", GB, 0),
        "job.slice": v2(4 * GB, 3 * GB, GB // 2),
        "": {"memory.stat": "anon 1"},  # the top of a machine has no limit
    }
    assert cgroups(["0::/job.slice/step"], groups) == [3 * GB // 2]
    groups["job.slice/step"] = v2(2 * GB, GB, 0)
    assert cgroups(["0::/job.slice/step"], groups) == [GB, 3 * GB // 2]


@pytest.mark.parametrize("path", ["/docker/abc", "/"])
def test_version_1_in_a_container_that_may_see_the_path_of_its_host(cgroups, path):
    lines = [f"12:cpu,cpuacct:{path}", f"9:memory:{path}", f"1:name=systemd:{path}", f"0::{path}"]
    assert cgroups(lines, {"memory": v1(8 * GB, 7 * GB, 2 * GB), "cpu": {}}) == [3 * GB]


def test_a_group_outside_of_what_is_mounted(cgroups):
    assert cgroups(["0::/../other"], {"": v2(3 * GB, GB, 0)}) == [2 * GB]


def test_more_used_than_allowed_leaves_nothing(cgroups):
    assert cgroups(["0::/"], {"": v2(GB, 2 * GB, 0)}) == [0]


def test_no_limit_and_no_control_groups(cgroups, tmp_path):
    assert cgroups(["0::/"], {"": v2("max", GB, 0)}) == []
    assert list(cgroup_bytes(tmp_path / "none", tmp_path / "nothing")) == []


@pytest.mark.parametrize("limits", [[], [3 * GB, 2 * GB], [10**18]])
def test_the_smallest_counts_everywhere(monkeypatch, limits):
    machine = psutil.virtual_memory()._replace(available=5 * GB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)
    monkeypatch.setattr(memory, "cgroup_bytes", lambda: iter(limits))
    free = min([5 * GB, *limits])
    assert free_bytes() == available_bytes(torch.device("cpu")) == free
    require_memory("scan", free, "a volume")
    with pytest.raises(ScanError, match=f"at most the {free / 1e9:.1f} GB that are available"):
        require_memory("scan", free + 1, "a volume")


def test_here():
    assert 0 < free_bytes() <= psutil.virtual_memory().total
