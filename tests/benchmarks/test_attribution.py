"""The benchmark on a small case: its rows and the numbers that must agree; never its times."""

from itertools import chain
from statistics import median

import pytest

from benchmarks.attribution.__main__ import full, quick
from benchmarks.timing import Row, Spread, alternate, print_table, ratio


@pytest.fixture(scope="module")
def rows():
    return {name: rows_of() for name, rows_of in quick().items()}


def figure(rows, what):
    (row,) = [row for row in chain(*rows.values()) if what in row.what]
    return median(row.figure.values)


@pytest.mark.slow
def test_every_subject_of_the_full_run_has_rows(rows):
    assert rows.keys() == full().keys()
    assert all(rows.values())
    assert all(min(row.figure.values) >= 0 for row in chain(*rows.values()))


@pytest.mark.slow
def test_the_rivals_give_the_same_numbers(rows):
    assert figure(rows, "largest difference over the peak") < 1e-5
    assert figure(rows, "largest relative difference") < 1e-12


@pytest.mark.slow
def test_shapley_passes_are_those_needed_and_planned(rows):
    (passes,) = [
        row for row in rows["shapley"] if row.what.startswith("shapley_cubes of all classes, window")
    ]
    assert passes.figure.values == (passes.at_most,)
    assert figure(rows, "paper's geometry") == 2544
    assert figure(rows, "KernelShap of 100 samples a class, window passes") > passes.at_most


@pytest.mark.slow
def test_captum_estimates_what_we_have_exactly(rows):
    (errors,) = [row for row in rows["shapley"] if "relative error" in row.what]
    assert 0 < median(errors.figure.values) < 0.1


def test_the_table_says_what_is_met(capsys):
    a, b, c = (Spread(values) for values in ((1.0, 3.0, 2.0), (4.0,), (7.0,)))
    print_table("Table", [Row("a", a, at_most=2), Row("b", b, at_least=5), Row("c", c)])
    a, b, c = (line for line in capsys.readouterr().out.splitlines() if line.startswith("│"))
    assert [cell.strip() for cell in a.split("│")[1:-1]] == ["a", "2", "1 to 3", "at most 2", "yes"]
    assert [cell.strip() for cell in b.split("│")[1:-1]] == ["b", "4", "", "at least 5", "no"]
    assert [cell.strip() for cell in c.split("│")[1:-1]] == ["c", "7", "", "", ""]


def test_works_take_turns_and_ratios_are_of_one_turn():
    calls = []
    seconds = alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 3
    assert [len(times) for times in seconds.values()] == [3, 3]
    assert ratio([2.0, 6.0], [1.0, 2.0], 2).values == (1.0, 1.5)
