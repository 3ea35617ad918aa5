import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agg2exp_core.errors import StoreError
from agg2exp_core.store import check_name, identity

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
    ],
)
def test_bad_names(name):
    with pytest.raises(StoreError, match="rename the class"):
        check_name("class", name)
