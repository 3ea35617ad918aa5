"""What of an attribution is shown: a label knows the name of its method, which may be anybody's."""

import pytest

from agg2exp_core.pipeline.display import shown_rule
from agg2exp_core.store import open_store

REGIONS = "all attribution but that of the background"
VOXELS = "absolute attribution above its 95th percentile"


@pytest.mark.parametrize(
    ("method", "rule"),
    [
        ("kernelshap_cubes", REGIONS),
        ("shapley_semantic", REGIONS),
        ("smoothgrad", VOXELS),
        ("captum:KernelShap", VOXELS),
        ("own_players:Own", REGIONS),
        ("own_players:kernelshap_of_mine", VOXELS),
        ("module_of_another_machine:f", VOXELS),
        ("imported", VOXELS),
    ],
)
def test_values_of_players_are_shown_all(method, rule, tmp_path, write_module):
    write_module(
        "own_players",
        "from agg2exp_core.attribution.shapley import ShapleySemantic\n"
        "class Own(ShapleySemantic): pass\n"
        "def kernelshap_of_mine(problem, classes): yield\n",
    )
    store = open_store(tmp_path / "store", create=True)
    store.register_label("label", method, {})
    assert shown_rule(store, "label") == rule
