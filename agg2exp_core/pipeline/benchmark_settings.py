"""What a benchmark is asked for: plain data that survives the way to a worker."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agg2exp_core.errors import unknown_name
from agg2exp_core.pipeline.settings import ExplainSettings
from agg2exp_core.remarks import Acceptable
from agg2exp_core.settings import Flag, Place, Settings

if TYPE_CHECKING:
    from agg2exp_core.metrics import Metric

QUICK_METHODS: dict[str, dict[str, Any]] = {
    "vanilla_gradient": {},
    "smoothgrad": {"n_samples": 5},
    "integrated_gradients": {"n_steps": 5},
    "shapley_semantic": {"max_exact_players": 6, "n_samples": 128},
}
"""Methods of a quick benchmark and their parameters; the last is its reference, too."""
QUICK_METRICS: dict[str, dict[str, Any]] = {
    "faithfulness": {"n_subsets": 25},
    "sensitivity": {"n_perturbations": 2},
    "randomisation": {"n_stages": 1},
    "complexity": {},
    "roi_faithfulness": {},
    "roi_distance": {},
}
"""Metrics of a quick benchmark and their options."""


class MetricChoice(Settings):
    """A metric and its options."""

    name: str
    """Of the metric, or module:attribute of a user's own."""
    params: dict[str, Any] = {}
    """Its options; what is left out has its default."""

    @property
    def metric(self) -> Metric:
        """The metric."""
        from agg2exp_core.metrics import make_metric

        return make_metric(self.name, self.params)

    @property
    def label(self) -> str:
        """Its name in the store."""
        return self.name.replace(":", ".")


class BenchmarkSettings(Settings):
    """Which methods are judged by which metrics, and on what."""

    store: Annotated[str, Flag("--out"), Place()]
    """Store of the results: a folder or s3://bucket/prefix."""
    model: Annotated[str, Place(or_name=True)]
    """Bundle, nnU-Net folder, description, program, name, or your own module:attribute."""
    methods: Annotated[list[str] | None, Flag("--methods", commas=True)] = None
    """Methods to judge, or module:attribute of your own, with commas; the seven by default."""
    metrics: Annotated[list[str] | None, Flag("--metrics", commas=True)] = None
    """Metrics to judge by, or module:attribute of your own, with commas; by default all but deletion,
    insertion, roi_deletion, roi_insertion and randomisation."""
    method_params: Annotated[dict[str, dict[str, Any]], Flag("--set-method")] = {}
    """Parameter of a method: METHOD.parameter=value (again for more)."""
    metric_params: Annotated[dict[str, dict[str, Any]], Flag("--set-metric")] = {}
    """Option of a metric: METRIC.option=value (again for more)."""
    quick: bool = False
    """Few samples: four methods and six metrics by default, with larger errors, which the tables state."""
    classes: Annotated[list[str] | None, Flag("--classes", commas=True)] = None
    """Class to judge (again for more); all by default."""
    seed: int = 0
    """Seed of what is random."""
    device: str = "auto"
    """auto, cpu, or a GPU such as cuda:0."""
    window_batch: Annotated[int, Field(ge=1)] | None = None
    """Windows per pass of the network, at most; by default what fits."""
    accept: Annotated[list[Acceptable], Flag("--accept", commas=True)] = []
    """What is right though it looks wrong, as in `agg2exp explain`: hu, modality, chance, batch."""

    def explanation(self, method: str, params: Mapping[str, Any]) -> ExplainSettings:
        """Return how a method explains the scans of this benchmark."""
        return ExplainSettings(
            store=self.store,
            model=self.model,
            method=method,
            params=dict(params),
            classes=self.classes,
            seed=self.seed,
            device=self.device,
            window_batch=self.window_batch,
            accept=self.accept,
        )

    @cached_property
    def method_names(self) -> list[str]:
        """The methods by name."""
        from agg2exp_core.attribution import METHODS

        default = QUICK_METHODS if self.quick else METHODS
        return list(default) if self.methods is None else self.methods

    @cached_property
    def metric_names(self) -> list[str]:
        """The metrics by name."""
        from agg2exp_core.metrics import DEFAULT_METRICS

        default = QUICK_METRICS if self.quick else DEFAULT_METRICS
        return list(default) if self.metrics is None else self.metrics

    @cached_property
    def judged(self) -> list[ExplainSettings]:
        """The methods that are judged; they share store, model, classes and seed."""
        few = QUICK_METHODS if self.quick else {}
        return [
            self.explanation(name, {**few.get(name, {}), **self.method_params.get(name, {})})
            for name in self.method_names
        ]

    @cached_property
    def choices(self) -> list[MetricChoice]:
        """The metrics with their options."""
        few = QUICK_METRICS if self.quick else {}
        return [
            MetricChoice(name=name, params={**few.get(name, {}), **self.metric_params.get(name, {})})
            for name in self.metric_names
        ]

    @cached_property
    def reference(self) -> ExplainSettings:
        """The method whose matrix the others are measured against."""
        from agg2exp_core.metrics import REFERENCE_METHOD

        name, params = REFERENCE_METHOD
        return self.explanation(name, QUICK_METHODS[name] if self.quick else params)

    @cached_property
    def explained(self) -> list[ExplainSettings]:
        """All whose attributions are needed, the reference method among them where a metric asks for it."""
        asked = any(choice.metric.needs_exact_matrix for choice in self.choices)
        beside = [self.reference] if asked and self.reference not in self.judged else []
        return [*self.judged, *beside]

    def check(self) -> None:
        """Refuse what cannot be honoured, before anything runs.

        Raises
        ------
        UsageError
            If a method or metric does not exist, or parameters are not its own.
        StoreError
            If a label cannot be a key of a store.
        """
        from agg2exp_core.store import check_name

        for option, names, params in (
            ("--set-method", self.method_names, self.method_params),
            ("--set-metric", self.metric_names, self.metric_params),
        ):
            for name in params:
                if name not in names:
                    raise unknown_name(option, name, names)
        for settings in self.judged:
            check_name("label", settings.result_label)
        for choice in self.choices:
            choice.metric  # noqa: B018  made, and so checked
