"""Class tables: the thorax classes of the paper, groups, colours, merged classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

BACKGROUND = "background"
"""The class of what is none of the others, the first of a model's."""

THORAX_CLASSES: tuple[str, ...] = (
    BACKGROUND,
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

_GROUPS: dict[str, frozenset[str]] = {
    group: frozenset(words.split())
    for group, words in {
        "pathologies": "effusion consolidation pneumothorax atelectasis tumor tumour lesion nodule cancer "
        "metastasis infarct hemorrhage haemorrhage embolism pathology",
        "cardiovascular": "aorta heart artery vein vena atrial brachiocephalic",
        "muscles": "autochthon gluteus iliopsoas muscle",
        "skeleton": "rib vertebra vertebrae sternum costal sacrum hip femur humerus scapula clavicula "
        "skull bone",
    }.items()
}
"""Words by which a structure is known, the first group first: a lesion of a bone is a pathology."""

LUNG_LOBES: tuple[str, ...] = tuple(name for name in THORAX_CLASSES if name.startswith("lung_"))


def _levels(part: str, n: int) -> list[str]:
    return [f"{part}{level + 1}" for level in range(n)]


MERGED_CLASSES: dict[str, tuple[str, ...]] = {
    "lung": LUNG_LOBES,
    "autochthon": ("autochthon_left", "autochthon_right"),
    "ribs": tuple(f"rib_{side}_{n}" for side in ("left", "right") for n in range(1, 13)),
    "vertebraes": tuple(
        f"vertebrae_{level}" for level in (*_levels("C", 7), *_levels("T", 12), *_levels("L", 5), "S1")
    ),
}
"""Regions that are unions of classes, offered where a model has all their parts."""


def group_of(name: str) -> str:
    """Return the group of a class by the words of its name, in any model's spelling.

    The paper's groups for its 17 classes, and the same for the structures of TotalSegmentator; what no word
    tells, background included, is among the other organs.
    """
    words = {word.removesuffix("s") for word in re.split(r"[^a-z]+", name.lower())}
    known = words | {f"{word}s" for word in words}  # metastasis ends with an s of its own
    return next((group for group, telling in _GROUPS.items() if known & telling), "other organs")


def colour_of(name: str) -> str:
    """Return the colour of a class's group as ``#rrggbb``."""
    return GROUP_COLOURS[group_of(name)]


def merged_for(class_names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the merged classes whose parts are all among `class_names`."""
    return {name: parts for name, parts in MERGED_CLASSES.items() if set(parts) <= set(class_names)}


def readable(name: object) -> str:
    """Return a class name as people write it."""
    return str(name).replace("_", " ")
