"""Groups by the words of a name."""

import pytest

from agg2exp_core.labels import GROUP_COLOURS, THORAX_CLASSES, colour_of, group_of, merged_for

PAPER = {
    "cardiovascular": {"aorta", "heart", "pulmonary_vein"},
    "muscles": {"autochthon_left", "autochthon_right"},
    "skeleton": {"ribs", "vertebraes", "sternum", "costal_cartilages"},
}


def test_the_groups_of_the_paper():
    for group in GROUP_COLOURS:
        found = {name for name in THORAX_CLASSES if group_of(name) == group}
        rest = set(THORAX_CLASSES) - set().union(*PAPER.values())
        assert found == (rest if group == "other organs" else PAPER.get(group, set()))
    assert colour_of("aorta") == "#DB4437"


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("pleural_effusion", "pathologies"),
        ("lung_nodules", "pathologies"),
        ("Bone metastasis", "pathologies"),
        ("liver-tumor", "pathologies"),
        ("portal_vein_and_splenic_vein", "cardiovascular"),
        ("iliac_vena_left", "cardiovascular"),
        ("heart_ventricle_left", "cardiovascular"),
        ("Lateral Ventricle", "other organs"),
        ("vertebrae_S1", "skeleton"),
        ("rib_left_7", "skeleton"),
        ("hip_left", "skeleton"),
        ("Hippocampus", "other organs"),
        ("gluteus_maximus_left", "muscles"),
        ("spinal_cord", "other organs"),
        ("background", "other organs"),
    ],
)
def test_other_names_fall_into_groups_by_their_words(name, group):
    assert group_of(name) == group


def test_merged_regions_are_offered_where_all_parts_are():
    whole = [f"rib_{side}_{n}" for side in ("left", "right") for n in range(1, 13)]
    assert "ribs" in merged_for(whole)
    assert "ribs" not in merged_for(whole[1:])
    assert set(merged_for(THORAX_CLASSES)) == {"lung", "autochthon"}
