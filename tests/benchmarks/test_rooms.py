"""The table and the picture of the rooms, on a small house and on this one."""

import importlib
import sys

import pytest

from benchmarks import rooms

PYPROJECT = """
[tool.importlinter]
root_packages = ["house_app", "house"]

[[tool.importlinter.contracts]]
type = "layers"
layers = ["house_app", "house"]
ignore_imports = ["house_app.main -> house.outside"]

[[tool.importlinter.contracts]]
type = "forbidden"
source_modules = ["house"]
forbidden_modules = ["json"]

[[tool.importlinter.contracts]]
type = "layers"
containers = ["house"]
layers = ["attic", "kitchen | hall", "cellar", "errors"]
"""
FILES = {
    "house_app/__init__.py": "",
    "house_app/main.py": "import json\nfrom house.attic import roof\nfrom house import outside\n",
    "house/__init__.py": "",
    "house/outside.py": "",
    "house/attic/__init__.py": "",
    "house/attic/roof.py": "from house import cellar, errors\nfrom house.kitchen import oven\n",
    "house/kitchen/__init__.py": "",
    "house/kitchen/oven.py": "from house.cellar import coal\n\n\n",
    "house/hall/__init__.py": "",
    "house/cellar/__init__.py": "",
    "house/cellar/coal.py": "from house import errors\n",
    "house/errors.py": "NONE = 0\n",
}


@pytest.fixture
def house(tmp_path, monkeypatch):
    for name, text in {**FILES, "pyproject.toml": PYPROJECT}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield rooms.read_house(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("house", "house_app")]:
        del sys.modules[name]


def test_rooms_are_counted_by_layer(house):
    assert house.layers == [
        ["house_app"],
        ["house.attic"],
        ["house.kitchen", "house.hall"],
        ["house.cellar"],
        ["house.errors"],
    ]
    assert house.n_lines["house.kitchen"] == 3
    assert house.n_files["house.attic"] == 2
    assert house.n_lines["house.outside"] == 0
    assert house.with_engine == {"house_app"}


def test_imports_are_those_of_the_code_without_the_ignored_ones(house):
    assert set(house.imports.edges) == {
        ("house_app", "house.attic"),
        ("house.attic", "house.kitchen"),
        ("house.attic", "house.cellar"),
        ("house.attic", "house.errors"),
        ("house.kitchen", "house.cellar"),
        ("house.cellar", "house.errors"),
    }


def test_the_picture_names_each_room_and_is_the_same_each_time(house, tmp_path):
    figure = rooms.draw(house)
    texts = " ".join(text.get_text() for text in figure.axes[0].texts)
    for name in ("house_app", "attic", "kitchen", "hall", "cellar", "errors 1"):
        assert name in texts
    bright, dark = rooms.write_picture(house, tmp_path / "rooms.svg")
    assert (bright.name, dark.name) == ("rooms.svg", "rooms-dark.svg")
    first = bright.read_bytes()
    assert first.startswith(b"<?xml")
    assert first != dark.read_bytes()
    rooms.write_picture(house, bright)
    assert bright.read_bytes() == first


def test_the_command_on_this_house(tmp_path, capsys):
    rooms.main([str(tmp_path / "rooms.svg")])
    told = capsys.readouterr().out
    assert "agg2exp_core.pipeline" in told
    assert (tmp_path / "rooms-dark.svg").stat().st_size > 10_000
