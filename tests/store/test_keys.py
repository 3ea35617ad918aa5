import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agg2exp_core.errors import StoreError
from agg2exp_core.store import check_name, identity
from agg2exp_core.volumes.discovery import safe_name

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abcdef", min_size=1), JSON, min_size=1))
def test_identity_does_not_depend_on_order_and_sees_every_part(parts):
    name = identity(**parts)
    assert name == identity(**dict(reversed(parts.items())))
    assert len(name) == 64
    assert int(name, 16) >= 0
    key = next(iter(parts))
    assert name != identity(**{**parts, key: [parts[key]]})


def test_identity_is_the_hash_of_canonical_json():
    parts = {"seed": 0, "method": "smoothgrad", "params": {"sigma": 0.1, "n_samples": 20}}
    text = '{"method":"smoothgrad","params":{"n_samples":20,"sigma":0.1},"seed":0}'
    assert json.loads(text) == parts
    assert identity(**parts) == hashlib.sha256(text.encode()).hexdigest()


def test_identity_takes_numpy_and_tuples_as_plain_numbers():
    assert identity(a=np.float64(0.1), b=(1, 2), c=np.arange(2)) == identity(a=0.1, b=[1, 2], c=[0, 1])


@pytest.mark.parametrize(
    ("part", "error"), [(float("nan"), ValueError), ({1, 2}, TypeError), (object(), TypeError)]
)
def test_identity_refuses_what_has_no_canonical_form(part, error):
    with pytest.raises(error):
        identity(a=part)


@pytest.mark.parametrize(
    "name", ["a", "lung_upper_lobe_left", "white matter", "Lösion (2)", "s0001.5", "a=b,c&d@e+f"]
)
def test_good_names(name):
    assert check_name("class", name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        "a\nb",
        "a\0",
        " a",
        "a ",
        "__x",
        ".x",
        "a*",
        "a?",
        "[a]",
        "zarr.json",
        "x" * 129,
        "ü" * 65,
        "../" * 40,
        "/etc/passwd",
        "a\0/../b",
        "..\u2215a",  # a slash of mathematics
        "a\uff0fb",  # one of full width
        "a\u202egpj",  # what follows would be shown backwards
        "a\u200b",  # a space that is not seen
        "\ud800",  # half a letter
        "%2e%2e",
        "~root",
        "a:b",
    ],
)
def test_bad_names(name):
    with pytest.raises(StoreError, match="rename the class"):
        check_name("class", name)


@given(st.text(max_size=300))
def test_no_accepted_name_climbs_out_of_a_folder_or_is_too_long_for_one(text):
    try:
        name = check_name("scan", text)
    except StoreError:
        return
    path = Path("/store/scans") / f"{name}.zarr"
    assert os.path.normpath(path) == str(path)
    assert path.parent == Path("/store/scans")
    assert len(path.name.encode()) < 255


@given(st.text(max_size=300) | st.lists(st.sampled_from(["..", "/", "_", "\0", "x" * 90, "é"])).map("".join))
def test_the_name_made_of_any_path_is_one_that_the_store_takes(text):
    name = safe_name(text)
    assert check_name("scan", name) == name
    assert len(f"overlay_{name}_autochthon_right.png") < 128
