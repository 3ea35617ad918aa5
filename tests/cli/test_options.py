"""What users choose is written once: its fields are the options, the parameters and the forms."""

import inspect
import json
from typing import Annotated, Literal

import pytest
from prefect.utilities.callables import parameter_schema
from pydantic import Field

from agg2exp.flows.analyse import analyse
from agg2exp.flows.batch import benchmark_batch, explain_batch
from agg2exp.flows.ingest import ingest
from agg2exp.flows.reduce import reduce
from agg2exp.flows.retention import retention
from agg2exp_cli.__main__ import run
from agg2exp_cli.options import Given, option_of, with_options
from agg2exp_core.errors import UsageError
from agg2exp_core.intake.settings import IngestSettings
from agg2exp_core.pipeline.benchmark_settings import BenchmarkSettings
from agg2exp_core.pipeline.settings import (
    AnalyseSettings,
    ExplainSettings,
    ReduceSettings,
    RetentionSettings,
)
from agg2exp_core.settings import Flag, Settings
from tests.commands import options

OF_COMMANDS = {
    "explain": ExplainSettings,
    "benchmark": BenchmarkSettings,
    "analyse": AnalyseSettings,
    "reduce": ReduceSettings,
    "retention": RetentionSettings,
    "ingest": IngestSettings,
}
FLOWS = {
    ExplainSettings: explain_batch,
    BenchmarkSettings: benchmark_batch,
    AnalyseSettings: analyse,
    ReduceSettings: reduce,
    RetentionSettings: retention,
    IngestSettings: ingest,
}


class Example(Settings):
    """An example."""

    place: str
    """Where."""
    n_copies: Annotated[int, Field(ge=1, le=9)] = 2
    """How many."""
    share: Annotated[float | None, Flag("--part")] = None
    """Which part."""
    kind: Literal["a", "b"] = "a"
    """Of what kind."""
    names: Annotated[list[str], Flag("--name", commas=True)] = []
    """Whose."""
    whole: list[str] | None = None
    """Not cut at commas."""
    params: Annotated[dict[str, str], Flag("--set")] = {}
    """Values."""
    nested: Annotated[dict[str, dict[str, str]], Flag("--set-of")] = {}
    """Values of something."""
    kept: Annotated[bool, Flag("--drop")] = True
    """Drop it."""
    loud: bool = False
    """Say so."""


def parse(**values):
    made = []

    @with_options(Example, arguments=["place"])
    def command(given: Given, beside: int = 0) -> int:
        made.append(given.make(Example))
        return beside

    defaults = {
        name: None if parameter.default is inspect.Parameter.empty else parameter.default
        for name, parameter in inspect.signature(command).parameters.items()
    }
    command(**{**defaults, **values})
    return made[0]


def test_what_is_left_out_has_its_default():
    assert parse(place="x") == Example(place="x")


def test_every_kind_of_field_is_read():
    told = parse(
        place="x",
        n_copies=3,
        share=0.5,
        kind="b",
        names=["a,b", "c"],
        whole=["a,b"],
        params=["n=5"],
        nested=["mine:Method.n=5", "other.m=2"],
        kept=True,
        loud=True,
    )
    assert told == Example(
        place="x",
        n_copies=3,
        share=0.5,
        kind="b",
        names=["a", "b", "c"],
        whole=["a,b"],
        params={"n": "5"},
        nested={"mine:Method": {"n": "5"}, "other": {"m": "2"}},
        kept=False,
        loud=True,
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"n_copies": 0}, "--n-copies: 0; allowed: 1 to 9"),
        ({"kind": "c"}, "--kind: 'c'; allowed: a, b"),
        ({"params": ["n"]}, "--set: 'n'; allowed: name=value"),
        ({"params": ["n=1", "n=2"]}, "--set: 'n=2'; allowed: name=value, each name once"),
        ({"nested": ["n=1"]}, "--set-of: 'n'; allowed: NAME.parameter=value"),
    ],
)
def test_what_is_refused(values, sentence):
    with pytest.raises(UsageError, match=sentence.replace(".", r"\.")):
        parse(place="x", **values)


@pytest.mark.parametrize(("command", "kind"), OF_COMMANDS.items())
def test_every_field_is_an_option_or_an_argument_of_its_command(command, kind):
    arguments = {"store"} if command in ("analyse", "reduce", "retention") else {"source"}
    arguments = arguments if command not in ("explain", "benchmark") else set()
    wanted = {option_of(kind, name) for name in kind.model_fields if name not in arguments}
    assert wanted <= options(command)


def test_deploy_takes_every_setting_of_explain_benchmark_and_analyse():
    follows = {("AnalyseSettings", "store"), ("AnalyseSettings", "label")}
    wanted = {
        option_of(kind, name)
        for kind in (ExplainSettings, BenchmarkSettings, AnalyseSettings)
        for name in kind.model_fields
        if (kind.__name__, name) not in follows
    }
    assert wanted <= options("deploy")


@pytest.mark.parametrize("kind", FLOWS)
def test_every_field_has_its_help_in_the_form_and_on_the_command_line(kind):
    schema = parameter_schema(FLOWS[kind]).model_dump()["definitions"][kind.__name__]["properties"]
    assert set(schema) == set(kind.model_fields)
    for name, field in schema.items():
        assert field["description"] == kind.model_fields[name].description
        assert len(field["description"]) > 5


def test_settings_survive_the_way_to_a_worker():
    settings = ExplainSettings(store="s3://a/b", model="m", params={"n_samples": 5}, classes=["left"])
    assert ExplainSettings(**json.loads(settings.model_dump_json())) == settings


def test_help_names_every_command_without_loading_one(capsys):
    assert run(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in (*OF_COMMANDS, "deploy", "worker", "doctor"))


def test_the_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("agg2exp 0.")
