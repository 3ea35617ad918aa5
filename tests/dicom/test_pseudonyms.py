"""Whose scan it is: a keyed hash, and what may be kept beside it."""

import hashlib
import hmac
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agg2exp_core.dicom import IdentityKey, age_band, kept_metadata, read_headers
from agg2exp_core.errors import UsageError
from agg2exp_core.volumes.discovery import check_scan_id

from .making import stored_values, write_series

SECRET = "0123456789abcdef0123456789abcdef"


def test_the_formula():
    """RFC 2104 over the parts, each after its length in eight bytes."""
    parts = ["scan", "P1", "1.2.3", "1.2.3.4"]
    text = b"".join(len(part).to_bytes(8, "little") + part.encode() for part in parts)
    expected = hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()
    assert IdentityKey(SECRET).scan_id("P1", "1.2.3", "1.2.3.4") == expected[:20]


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_other_parts_have_another_id(one, other):
    key = IdentityKey(SECRET)
    assert (key.scan_id(*one) == key.scan_id(*other)) == (one == other)
    check_scan_id(key.scan_id(*one))
    assert key.digest("content", *one) != key.digest("scan", *one)


def test_another_key_gives_other_ids():
    assert IdentityKey(SECRET).scan_id("P1") != IdentityKey(SECRET[::-1]).scan_id("P1")


@pytest.mark.parametrize("secret", ["", " " * 40, "short", "0123456789abcdef0123456789abcde"])
def test_no_key_or_a_short_one(secret):
    with pytest.raises(UsageError, match="AGG2EXP_IDENTITY_KEY") as caught:
        IdentityKey(secret)
    assert not secret.strip() or secret not in str(caught.value)


def test_a_key_is_not_shown_and_does_not_travel():
    key = IdentityKey(SECRET)
    assert SECRET not in repr(key) + str(key)
    with pytest.raises(TypeError):
        pickle.dumps(key)


@pytest.mark.parametrize(
    ("age", "band"),
    [
        ("045Y", "45"),
        ("089Y", "89"),
        ("090Y", "90+"),
        ("104Y", "90+"),
        ("011M", "0"),
        ("030M", "2"),
        ("010W", "0"),
        ("400D", "1"),
        ("", ""),
        ("45Y", ""),
        ("Jane Doe", ""),
        ("045Y\n", ""),
    ],
)
def test_ages(age, band):
    assert age_band(age) == band


def test_what_is_kept(tmp_path):
    (header, *_), _ = read_headers(
        sorted(write_series(tmp_path, stored_values(2), PatientAge="093Y", PatientSex="F").iterdir())
    )
    assert kept_metadata(header, []) == {}
    assert kept_metadata(header, ["sex"]) == {"sex": "F"}
    assert kept_metadata(header, ["age", "sex"]) == {"age": "90+", "sex": "F"}
