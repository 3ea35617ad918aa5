import numpy as np
import pandas as pd
import pytest

from agg2exp_core.importance import local_importance, stack_scans, to_table
from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.types import ClassAttribution, Prediction

SHAPE = (9, 8, 7)


def scan(seed, class_names, absent=(), shape=SHAPE):
    rng = np.random.default_rng(seed)
    present = [n for n, name in enumerate(class_names) if name not in absent]
    labels = rng.choice(present, SHAPE)
    zeros = np.zeros(SHAPE, np.float32)
    items = [ClassAttribution(class_names[n], rng.normal(0.3, 1, size=shape)) for n in present]
    return items, local_importance(items, Prediction(labels, tuple(class_names), zeros, zeros))


@pytest.mark.parametrize("shape", [SHAPE, (2, *SHAPE)], ids=["one channel", "two channels"])
def test_values(shape):
    classes = ("background", "heart", "lung")
    scans = {f"s{n}": scan(n, classes, absent=("heart",) if n else (), shape=shape) for n in range(2)}
    table = to_table(stack_scans({name: E for name, (_, E) in scans.items()}))
    assert table["patient"].tolist() == ["s0", "s1"]
    assert len(table.columns) == 1 + 3 * (2 * 3 + 2)
    for row, (items, E) in enumerate(scans.values()):
        for item in items:
            a = item.class_name
            voxels = item.values if item.values.ndim == 3 else item.values.sum(axis=0)
            assert table[f"{a}_explanation_mean"][row] == pytest.approx(voxels.mean())
            assert table[f"{a}_explanation_var"][row] == pytest.approx(voxels.var())
            for b in classes:
                for variable in ("mass", "mean"):
                    got = table[f"{a}_explanation_in_{b}_{variable}"][row]
                    assert got == pytest.approx(float(E[variable].sel(target=a, roi=b)), nan_ok=True)
    assert table.filter(like="heart_explanation").iloc[1].isna().all()


def test_columns_are_those_of_the_published_table(real_data):
    (path,) = (real_data / "paper").glob("*.csv")
    published = pd.read_csv(path, nrows=1)
    scores = {"s1": dict.fromkeys(THORAX_CLASSES, 0.5)}
    table = to_table(stack_scans({"s1": scan(0, THORAX_CLASSES)[1]}), iou=scores, dice=scores)
    explained = [name for name in published.columns if not name.endswith(("_iou", "_dice"))]
    assert table.columns[: len(explained)].tolist() == explained
    assert set(published.columns) - set(table.columns) == set()
    assert set(table.columns) - set(published.columns) <= {"costal_cartilages_dice"}


def test_missing_scores_are_missing():
    local = stack_scans(
        {"s1": scan(0, ("background", "heart"))[1], "s2": scan(1, ("background", "heart"))[1]}
    )
    table = to_table(local, dice={"s1": {"heart": 0.9}})
    assert table["heart_dice"].tolist()[0] == 0.9
    assert table["heart_dice"].isna().tolist() == [False, True]
    assert table["background_dice"].isna().all()
    assert not any(name.endswith("_iou") for name in table)
