from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agg2exp_core.errors import UsageError
from agg2exp_core.volumes import ScanRef, find_scans, scan_ids
from agg2exp_core.volumes.discovery import check_scan_id


@pytest.fixture
def files(tmp_path):
    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("paths", "ids"),
    [
        (["data/s0001/ct.nii.gz", "data/s0002/ct.nii.gz"], ["s0001", "s0002"]),
        (["head.nii.gz"], ["head"]),
        (["data/s0001/ct.nii.gz"], ["ct"]),
        (["x/a.nii", "x/b.nii.gz"], ["a", "b"]),
        (["x/s1/ct.nii", "y/s1/ct.nii"], ["x", "y"]),
        (["a/s1/ct.nii", "b/s1/ct.nii", "b/s2/ct.nii"], ["a-s1", "b-s1", "b-s2"]),
        (["a/s1/ct.nii", "a/s1/late.nii", "a/s2/ct.nii"], ["s1-ct", "s1-late", "s2-ct"]),
        (["x/ct.nii", "x/y/ct.nii"], ["x", "y"]),
        (["x/Müller Ä.nii", "x/b.nii"], ["M_ller__", "b"]),
        (["x/-rf.nii", "x/v1.2.nii.gz"], ["_rf", "v1.2"]),
        ([], []),
    ],
)
def test_ids(paths, ids):
    assert scan_ids([Path("/data") / p for p in paths]) == ids


def test_the_shortest_path_may_be_the_end_of_another():
    assert scan_ids([Path("/ct.nii"), Path("/s1/ct.nii")]) == ["ct", "s1-ct"]


@settings(max_examples=80, deadline=None)
@given(st.sets(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(tuple), min_size=1, max_size=6))
def test_ids_are_distinct_and_usable(parts):
    ids = scan_ids([Path("/", *p[:-1], f"{p[-1]}.nii.gz") for p in sorted(parts)])
    assert len(set(ids)) == len(parts)
    assert all(set(name) <= set("abc-") and name for name in ids)


def test_a_folder_means_its_nifti_files(files):
    root = files("b.nii.gz", "a.nii", "notes.txt", ".hidden.nii", "sub/ct.nii.gz")
    scans, errors = find_scans([root])
    assert scans == [ScanRef("a", root / "a.nii"), ScanRef("b", root / "b.nii.gz")]
    assert errors == []


def test_or_the_ct_of_each_of_its_folders(files):
    root = files("s2/ct.nii.gz", "s1/ct.nii", "s1/segmentations/heart.nii.gz", "s3/mr.nii.gz", "notes.txt")
    scans, errors = find_scans([str(root)])
    assert [(s.scan_id, s.path) for s in scans] == [
        ("s1", root / "s1/ct.nii"),
        ("s2", root / "s2/ct.nii.gz"),
    ]
    assert errors == []


def test_what_names_no_scan_is_returned_beside_the_rest(files):
    root = files("good.nii.gz", "text/notes.txt")
    (root / "empty").mkdir()
    scans, errors = find_scans([root / "none", root / "good.nii.gz", root / "empty", root / "text"])
    assert [s.scan_id for s in scans] == ["good"]
    assert [str(e).removeprefix(f"{root}/").split(";")[0] for e in errors] == [
        "none: nothing there",
        "empty: an empty folder",
        "text: a folder of 1 entries without NIfTI or DICOM files",
    ]


def test_an_unreadable_path_is_an_error_of_its_own(tmp_path):
    scans, errors = find_scans([tmp_path / ("x" * 300)])
    assert scans == []
    assert "cannot be read" in str(errors[0])


def test_the_same_scan_twice(files):
    root = files("a.nii.gz")
    (root / "link.nii.gz").symlink_to(root / "a.nii.gz")
    for other in (root / "a.nii.gz", root / "." / "a.nii.gz", root / "link.nii.gz"):
        with pytest.raises(UsageError, match="is given twice") as caught:
            find_scans([root / "a.nii.gz", other])
        assert str(root / "a.nii.gz") in str(caught.value)


def test_two_scans_with_one_id(files):
    root = files("a b.nii.gz", "a_b.nii.gz", "c.nii", "c.nii.gz")
    with pytest.raises(UsageError, match=r"same scan id as") as caught:
        find_scans([root / "a b.nii.gz", root / "a_b.nii.gz"])
    assert "a b.nii.gz" in str(caught.value)
    assert "a_b.nii.gz" in str(caught.value)
    with pytest.raises(UsageError, match="same scan id as"):
        find_scans([root / "c.nii", root / "c.nii.gz"])


def test_scan_id_overrides_for_one_scan(files):
    root = files("a.nii", "b.nii")
    assert find_scans([root / "a.nii"], "case-7")[0] == [ScanRef("case-7", root / "a.nii")]
    with pytest.raises(UsageError, match="one id for 2 scans"):
        find_scans([root], "case-7")
    for bad in ("", "-x", ".x", "a/b", "a b", "é", "a\n"):
        with pytest.raises(UsageError, match="--scan-id"):
            find_scans([root / "a.nii"], bad)


@pytest.mark.parametrize(
    "names",
    [("张三", "李四"), ("Иванов 1", "Петров 1"), ("患者1", "病人1"), ("Müller", "Möller"), ("أ", "ب")],
)
def test_names_in_other_scripts_are_told_apart(names):
    ids = scan_ids([Path("/data") / f"{name}.nii.gz" for name in (*names, "s0001")])
    assert len(set(ids)) == 3
    assert ids[2] == "s0001"
    assert all(check_scan_id(name) for name in ids)


def test_a_name_in_another_script_is_the_same_alone_and_beside_others():
    assert scan_ids([Path("/d/張.nii")])[0] == scan_ids([Path("/d/張.nii"), Path("/d/b.nii")])[0]
    decomposed, composed = "/d/\u0438\u0306.nii", "/d/\u0439.nii"
    assert scan_ids([Path(decomposed)]) != scan_ids([Path("/d/x.nii")])
    assert scan_ids([Path(decomposed)])[0][-16:] == scan_ids([Path(composed)])[0][-16:]
