"""Class tables: the thorax classes of the paper, groups, colours, merged classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

THORAX_CLASSES: tuple[str, ...] = (
    "background",
    "aorta",
    "lung_upper_lobe_left",
    "lung_lower_lobe_left",
    "lung_upper_lobe_right",
    "lung_middle_lobe_right",
    "lung_lower_lobe_right",
    "trachea",
    "heart",
    "pulmonary_vein",
    "thyroid_gland",
    "ribs",
    "vertebraes",
    "autochthon_left",
    "autochthon_right",
    "sternum",
    "costal_cartilages",
)
"""The 17 classes of the paper in the order of its published table (its spelling kept)."""

GROUP_COLOURS: dict[str, str] = {
    "cardiovascular": "#DB4437",
    "muscles": "#F4B400",
    "skeleton": "#4285F4",
    "other organs": "#808080",
    "pathologies": "#000000",
}
"""Colours of the paper's figures, by group."""

_GROUPS: dict[str, tuple[str, ...]] = {
    "cardiovascular": ("aorta", "heart", "pulmonary_vein"),
    "muscles": ("autochthon_left", "autochthon_right", "autochthon"),
    "skeleton": ("ribs", "vertebraes", "sternum", "costal_cartilages"),
    "pathologies": ("pleural_effusion", "consolidation"),
}

LUNG_LOBES: tuple[str, ...] = tuple(name for name in THORAX_CLASSES if name.startswith("lung_"))

MERGED_CLASSES: dict[str, tuple[str, ...]] = {
    "lung": LUNG_LOBES,
    "autochthon": ("autochthon_left", "autochthon_right"),
}
"""Regions that are unions of classes, offered where a model has all their parts."""


def group_of(name: str) -> str:
    """Return the group of a class; what no group claims is among the other organs."""
    return next((group for group, names in _GROUPS.items() if name in names), "other organs")


def colour_of(name: str) -> str:
    """Return the colour of a class's group as ``#rrggbb``."""
    return GROUP_COLOURS[group_of(name)]


def merged_for(class_names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the merged classes whose parts are all among `class_names`."""
    return {name: parts for name, parts in MERGED_CLASSES.items() if set(parts) <= set(class_names)}


def readable(name: object) -> str:
    """Return a class name as people write it."""
    return str(name).replace("_", " ")
