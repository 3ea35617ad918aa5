"""The table of agreement, of bundles alone: folders of nnU-Net are compared in `tests/models`."""

import pytest

from benchmarks.agreement import bundle_rows


@pytest.mark.filterwarnings("ignore")
def test_bundles_agree_with_monai(tmp_path):
    rows = list(bundle_rows(tmp_path, None))
    assert len(rows) == 3
    assert all(row.image == 0 and row.labels == 0 for row in rows)
    assert all(row.logits <= 1e-5 for row in rows)
