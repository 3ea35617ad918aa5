"""Codes of the structures that models segment: SNOMED CT where there is one, else one of our own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from agg2exp_core.labels import group_of, readable

OWN_SCHEME = "99AGG2EXP"
"""Designator of our own codes; 99 marks a private scheme (PS3.3, 8.2)."""

_SIDES: Mapping[str, Code] = {"left": codes.SCT.Left, "right": codes.SCT.Right}

_KINDS: tuple[Code, Code] = (codes.SCT.AnatomicalStructure, codes.SCT.MorphologicallyAbnormalStructure)

_STRUCTURES: Mapping[str, Code] = {
    "aorta": codes.SCT.Aorta,
    "lung": codes.SCT.Lung,
    "lung_upper_lobe": codes.SCT.UpperLobeOfLung,
    "lung_middle_lobe": codes.SCT.MiddleLobeOfRightLung,
    "lung_lower_lobe": codes.SCT.LowerLobeOfLung,
    "trachea": codes.SCT.Trachea,
    "heart": codes.SCT.Heart,
    "pulmonary_vein": codes.SCT.PulmonaryVein,
    "thyroid_gland": codes.SCT.Thyroid,
    "ribs": codes.SCT.Rib,
    "vertebraes": codes.SCT.Vertebra,
    "sternum": codes.SCT.Sternum,
    "costal_cartilages": codes.SCT.CostalCartilage,
    "esophagus": codes.SCT.Esophagus,
    "liver": codes.SCT.Liver,
    "spleen": codes.SCT.Spleen,
    "kidney": codes.SCT.Kidney,
    "adrenal_gland": codes.SCT.AdrenalGland,
    "pancreas": codes.SCT.Pancreas,
    "stomach": codes.SCT.Stomach,
    "gallbladder": codes.SCT.Gallbladder,
    "duodenum": codes.SCT.Duodenum,
    "inferior_vena_cava": codes.SCT.InferiorVenaCava,
    "brain": codes.SCT.Brain,
    "grey_matter": codes.SCT.GrayMatter,
    "white_matter": codes.SCT.WhiteMatter,
    "pleural_effusion": codes.SCT.PleuralEffusion,
}
"""Only names whose meaning is that of the code: the autochthonous muscles of the back, for one, have none."""


def structure(name: str) -> tuple[Code, Code | None]:
    """Return the code of a class, and the code of its side where its name ends in one.

    A class that the table does not know has a code of our own, and its side in its name alone.
    """
    base, _, side = name.rpartition("_")
    if name in _STRUCTURES:
        return _STRUCTURES[name], None
    if side in _SIDES and base in _STRUCTURES:
        return _STRUCTURES[base], _SIDES[side]
    return own_code(name), None


def category(name: str) -> Code:
    """Return the code of what kind of structure a class is."""
    return _KINDS[group_of(name) == "pathologies"]


def own_code(name: str) -> Code:
    """Return a code of our own: the name itself where 16 characters hold it, else a hash of it."""
    value = name if len(name) <= 16 and name.isascii() else hashlib.sha256(name.encode()).hexdigest()[:16]
    return Code(value, OWN_SCHEME, readable(name)[:64])
