"""Cohorts as they are handed out become scans, label maps and datalists."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
from monai.data import load_decathlon_datalist

from agg2exp_cli.__main__ import run
from agg2exp_core.datasets import absent_classes, find_cases, merge_labels, read_datalist, write_datalist
from agg2exp_core.errors import ScanError, UsageError
from agg2exp_core.labels import MERGED_CLASSES, THORAX_CLASSES
from agg2exp_core.phantom import make_phantom
from agg2exp_core.volumes import write_nifti

PARTS = {"ribs": ["rib_left_3", "rib_right_12"], "vertebraes": ["vertebrae_T4", "vertebrae_L1"]}
"""Where a phantom's merged classes go, half and half."""


def write_case(folder, phantom, without=()):
    (folder / "segmentations").mkdir(parents=True)
    write_nifti(folder / "ct.nii.gz", phantom.hu, phantom.grid)
    for index, name in enumerate(THORAX_CLASSES[1:], start=1):
        mask = (phantom.labels == index) & (name not in without)
        below = np.arange(mask.shape[2]) < mask.shape[2] // 2
        halves = [mask & below, mask & ~below] if name in PARTS else [mask]
        for part, half in zip(PARTS.get(name, [name]), halves, strict=True):
            write_nifti(folder / "segmentations" / f"{part}.nii.gz", half, phantom.grid)
    write_nifti(folder / "segmentations" / "spleen.nii.gz", phantom.labels == 0, phantom.grid)


@pytest.fixture(scope="module")
def phantoms():
    return [make_phantom(seed, 8.0) for seed in (1, 2, 3)]


@pytest.fixture
def tree(tmp_path, phantoms):
    folder = tmp_path / "tree"
    for n, (phantom, without) in enumerate(zip(phantoms, [(), ("trachea",), ()], strict=True)):
        write_case(folder / f"s{n:04}", phantom, without)
    with (folder / "meta.csv").open("w", newline="", encoding="utf-8-sig") as file:
        rows = csv.writer(file, delimiter=";")
        rows.writerow(["image_id", "age", "gender", "split"])
        rows.writerows(
            [["s0000", "61", "m", "train"], ["s0001", "", "f", "test"], ["s0002", "7", "", "test"]]
        )
    return folder


def test_a_tree_becomes_cases_with_the_classes_of_the_paper(tree, phantoms):
    cases = find_cases(tree)
    assert [case.scan_id for case in cases] == ["s0000", "s0001", "s0002"]
    assert [case.split for case in cases] == ["training", "test", "test"]
    assert [dict(case.metadata) for case in cases] == [
        {"age": "61", "gender": "m"},
        {"gender": "f"},
        {"age": "7"},
    ]
    for case, phantom, gone in zip(cases, phantoms, [None, "trachea", None], strict=True):
        labels, grid = merge_labels(case)
        expected = phantom.labels.copy()
        if gone:
            expected[expected == THORAX_CLASSES.index(gone)] = 0
        np.testing.assert_array_equal(labels, expected)
        np.testing.assert_allclose(grid.affine, phantom.grid.affine, atol=1e-4)
        assert absent_classes(labels) == ([gone] if gone else [])


def test_the_command_lists_complete_scans_by_split(tree, tmp_path, phantoms, capsys):
    out = tmp_path / "lists" / "thorax.json"
    assert run(["datalist", str(tree), "--out", str(out), "--complete"]) == 0
    assert "2 scans (training 1, test 1); 1 without all classes" in capsys.readouterr().out
    entries = load_decathlon_datalist(str(out), data_list_key="test")  # as MONAI reads it
    assert entries[0]["image"] == str(tree / "s0002" / "ct.nii.gz")
    np.testing.assert_array_equal(nib.load(entries[0]["label"]).get_fdata(), phantoms[2].labels)
    assert [entry["image"] for entry in read_datalist(out)] == [tree / "s0002" / "ct.nii.gz"]
    assert json.loads(out.read_text())["labels"]["16"] == "costal_cartilages"
    other = out.with_name("all.json")  # another list in the folder leaves the label maps of this one alone
    before = {path: path.read_bytes() for path in out.parent.rglob("*.nii.gz")}
    (tree / "s0002" / "segmentations" / "aorta.nii.gz").unlink()
    assert run(["datalist", str(tree), "--out", str(other)]) == 0
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_broken_subject_is_named_and_the_others_are_listed(tree, tmp_path, capsys):
    (tree / "s0002" / "segmentations" / "aorta.nii.gz").write_bytes(b"junk")
    assert run(["datalist", str(tree), "--out", str(tmp_path / "list.json")]) == 3
    assert "aorta.nii.gz" in capsys.readouterr().err
    assert len(read_datalist(tmp_path / "list.json", "test")) == 1
    with pytest.raises(UsageError, match="allowed: training, test"):
        read_datalist(tmp_path / "list.json", "validation")


def test_masks_that_do_not_belong_together_are_refused(tree, phantoms):
    first, other, _ = find_cases(tree)
    shifted = phantoms[0].grid.affine.copy()
    shifted[0, 3] += 5
    nib.save(
        nib.Nifti1Image(np.zeros(phantoms[0].grid.shape, np.uint8), shifted), first.masks / "heart.nii.gz"
    )
    with pytest.raises(ScanError, match=r"heart\.nii\.gz on another grid"):
        merge_labels(first)
    for path in other.masks.iterdir():
        path.unlink()
    with pytest.raises(ScanError, match="no mask"):
        merge_labels(other)


def test_what_is_no_tree_is_refused(tmp_path):
    with pytest.raises(UsageError, match="segmentations"):
        find_cases(tmp_path)
    (tmp_path / "s1" / "segmentations").mkdir(parents=True)
    (tmp_path / "meta.csv").write_text("subject,age\na,1\n")
    with pytest.raises(UsageError, match="image_id"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "nothing that can be read"),
        ("[]", "split: 'test'; allowed: a list of scans"),
        ('{"test": [{"image": ["a", "b"]}]}', "2 images in entry 0"),
        ('{"test": [{"label": "a"}]}', "no image in entry 0"),
        ('{"test": ["a", 3]}', "no image in entry 1"),
        ('{"training": ["a"], "numTraining": 1}', "allowed: training"),
    ],
)
def test_a_datalist_that_names_no_scans_is_refused(tmp_path, text, message):
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_datalist(tmp_path / "list.json")


def test_datalists_go_out_and_come_in_as_monai_reads_them(tmp_path):
    image = tmp_path / "data" / "a.nii.gz"
    image.parent.mkdir()
    image.touch()
    write_datalist(
        tmp_path / "list.json",
        {"training": [{"image": image, "label": image, "fold": 2}], "test": [{"image": "/far/b.nii"}]},
    )
    (entry,) = read_datalist(tmp_path / "list.json", "training")
    (theirs,) = load_decathlon_datalist(str(tmp_path / "list.json"), data_list_key="training")
    assert entry == {"image": image, "label": image, "fold": 2}
    assert (theirs["image"], theirs["label"], theirs["fold"]) == (str(image), str(image), 2)
    assert json.loads((tmp_path / "list.json").read_text())["training"][0]["image"] == "data/a.nii.gz"
    assert str(read_datalist(tmp_path / "list.json")[0]["image"]) == "/far/b.nii"


def test_real_labels(real_data, tmp_path):
    """The structures of a real scan, laid out as the data set is: its ribs and vertebrae are merged."""
    folder = real_data / "ct_abdomen"
    image = nib.load(folder / "labels.nii.gz")
    values = np.asarray(image.dataobj)
    names = json.loads((folder / "labels.json").read_text())
    masks = tmp_path / "s1" / "segmentations"
    masks.mkdir(parents=True)
    for index, name in names.items():
        mask = nib.Nifti1Image((values == int(index)).astype(np.uint8), image.affine)
        nib.save(mask, masks / f"{name}.nii.gz")
    (case,) = find_cases(tmp_path)
    labels, _ = merge_labels(case)
    for merged, prefix in (("ribs", "rib_"), ("vertebraes", "vertebrae_")):
        of_parts = [int(index) for index, name in names.items() if name.startswith(prefix)]
        assert len(of_parts) >= 8
        np.testing.assert_array_equal(labels == THORAX_CLASSES.index(merged), np.isin(values, of_parts))
        assert {names[str(index)] for index in of_parts} <= set(MERGED_CLASSES[merged])
    np.testing.assert_array_equal(labels == 1, values == 52)
    missing = absent_classes(labels)
    assert {"heart", "trachea", "sternum", "lung_middle_lobe_right"} <= set(missing)
    assert not {"ribs", "autochthon_left", "costal_cartilages"} & set(missing)
