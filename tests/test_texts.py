"""What the texts name is there: files, links, and the functions of a scan's way; their example runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from agg2exp_core.phantom import write_cohort
from agg2exp_core.store import open_store

HERE = Path(__file__).resolve().parents[1]
TEXTS = [HERE / "README.md", HERE / "CHANGELOG.md", *sorted((HERE / "docs").rglob("*.md"))]
ARCHITECTURE = (HERE / "docs" / "architecture.md").read_text()
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)|(?:src|srcset)=\"([^\"]+)\"")
NAMED_PATH = re.compile(
    r"`((?:agg2exp_cli|agg2exp_core|benchmarks|deployments|docker|docs|flows|tasks|tests)/[\w./-]*)"
)
STEP = re.compile(r"^\| \d+ \| (.+?) \| `(.+?)` \|", re.MULTILINE)
EXAMPLE = re.compile(r"^## Without Prefect\n+```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def at(found):
    return [match[1] or match[2] for match in found]


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_links_lead_to_files(text):
    links = at(LINK.finditer(text.read_text()))
    assert [link for link in links if not (text.parent / link).exists()] == []


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(text):
    named = NAMED_PATH.findall(text.read_text())
    assert [path for path in named if path != "agg2exp_cli/NAME.py" and not (HERE / path).exists()] == []


def test_the_functions_of_a_scans_way_are_where_the_text_says():
    steps = STEP.findall(ARCHITECTURE)
    assert len(steps) == 17
    for names, place in steps:
        files = [HERE / place] if place.endswith(".py") else sorted((HERE / place).glob("*.py"))
        code = "\n".join(path.read_text() for path in files)
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^ *(?:def|class) {name}\b|^{name} = ", code, re.MULTILINE), (name, place)


def test_the_example_runs_where_prefect_cannot_be_imported(tmp_path):
    (example,) = EXAMPLE.findall(ARCHITECTURE)
    write_cohort(tmp_path / "scans", 1, seed=5, spacing_mm=8.0)
    example = example.replace('"my_model"', '"thorax_phantom"')
    example = example.replace('{"n_samples": 5}', '{"n_samples": 1}, classes=["heart"]')
    code = f"import sys\nsys.modules['prefect'] = None\n{example}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "1 of 1\n"), done.stderr
    store = open_store(str(tmp_path / "results"))
    (label,) = store.labels()
    assert store.global_importance(label)["n"].sel(target="heart", roi="heart") == 1
