"""The demo, on two scans."""

import pytest
import xarray as xr

from agg2exp_core.labels import THORAX_CLASSES
from flows.__main__ import run


@pytest.mark.usefixtures("prefect_server")
def test_the_demo_explains_every_class_and_says_what_to_open(tmp_path, capsys):
    out = tmp_path / "demo"
    assert run(["demo", "--out", str(out), "--scans", "2", "--samples", "1"]) == 0
    shown = capsys.readouterr().out
    assert f"file://{out}/store/report/index.html" in shown
    assert "costal cartilages" in shown
    matrices = xr.open_zarr(f"{out}/store/importance.zarr", group="smoothgrad")
    classes = matrices["mass"].sel(scan="p001", roi=matrices["roi_kind"] == "class")
    assert set(classes["target"].values) == set(THORAX_CLASSES)
    assert (abs(classes.sum("roi") - 1) < 1e-9).all()
    page = (out / "store" / "report" / "index.html").read_text()
    assert page.count("data:image/png;base64,") >= 3
