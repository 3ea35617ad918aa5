"""The demo, on two scans."""

import pytest
import xarray as xr

from agg2exp_cli.__main__ import run
from agg2exp_core.labels import THORAX_CLASSES


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.slow
def test_the_demo_explains_every_class_and_says_what_to_open(tmp_path, capsys):
    out = tmp_path / "demo"
    assert run(["demo", "--out", str(out), "--scans", "2", "--samples", "1"]) == 0
    shown = capsys.readouterr().out
    assert f"file://{out}/report/index.html" in shown
    assert "data-chart" in (out / "report" / "index.html").read_text()
    assert len(list((out / "report" / "volumes" / "p001" / "smoothgrad").iterdir())) == len(THORAX_CLASSES)
    assert "costal cartilages" in shown
    matrices = xr.open_zarr(f"{out}/store/importance.zarr", group="smoothgrad")
    classes = matrices["mass"].sel(scan="p001", roi=matrices["roi_kind"] == "class")
    assert set(classes["target"].values) == set(THORAX_CLASSES)
    assert (abs(classes.sum("roi") - 1) < 1e-9).all()
    assert "data-chart" in (out / "store" / "report" / "index.html").read_text()
    pictures = out / "store" / "report" / "smoothgrad" / "pictures"
    assert len(list(pictures.glob("overlay_*.png"))) == 3


def test_a_model_that_is_not_there_is_refused_before_scans_are_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["demo", "--model", "nowhere"]) == 2
    assert "nowhere: nothing there" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
