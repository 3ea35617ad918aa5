"""What explaining and analysing are asked for: plain data that survives the way to a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from agg2exp_core.errors import UsageError
from agg2exp_core.remarks import Acceptable
from agg2exp_core.settings import Flag, Place, Settings

if TYPE_CHECKING:  # both take seconds to load, and options are read before
    from agg2exp_core.analysis import AnalysisSettings
    from agg2exp_core.attribution import Method

DEFAULT_STORED = "float32"


class ExplainSettings(Settings):
    """How scans are explained."""

    store: Annotated[str, Flag("--out"), Place()]
    """Store of the results: a folder or s3://bucket/prefix."""
    model: Annotated[str, Place(or_name=True)]
    """Bundle, nnU-Net folder, description, program, name, or your own module:attribute."""
    method: str = "smoothgrad"
    """Attribution method: a name, captum:NAME, or your own module:attribute."""
    params: Annotated[dict[str, Any], Flag("--set")] = {}
    """Parameter of the method: name=value (again for more); what is left out has its default."""
    label: str | None = None
    """Name of the results; by default the method, with a short hash where parameters are not the defaults."""
    classes: Annotated[list[str] | None, Flag("--classes", commas=True)] = None
    """Class to explain (again for more); all by default."""
    seed: int = 0
    """Seed of what is random."""
    device: str = "auto"
    """auto, cpu, or a GPU such as cuda:0."""
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = "float32"
    """What the network computes in; another than float32 makes another model of it."""
    rois: Annotated[str | None, Place()] = None
    """Extra regions: masks DIR/<scan id>/NAME.nii.gz, or label maps DIR/<scan id>.nii.gz with
    DIR/labels.json, or for one scan a label map."""
    roi_names: Annotated[str | None, Place()] = None
    """Names of a label map: a JSON file {"1": "spleen"}."""
    classes_per_task: Annotated[int, Field(ge=1)] | None = None
    """Classes per task run; all by default."""
    window_batch: Annotated[int, Field(ge=1)] | None = None
    """Windows per pass of the network, at most; by default what fits."""
    voxels: Annotated[bool, Flag("--no-voxels")] = True
    """Whether attributions are kept beside the matrices; --no-voxels keeps the matrices alone."""
    stored: Annotated[Literal["float32", "float16"], Flag("--store-as")] = "float32"
    """How attributions are kept; float16 takes half the space and misses by 2^-12 of a block's peak."""
    restore_voxels: bool = False
    """Compute again what retention dropped the voxels of."""
    recheck: bool = False
    """Read every scan again, also those whose files have not changed since they were explained."""
    accept: Annotated[list[Acceptable], Flag("--accept", commas=True)] = []
    """What is right though it looks wrong (again for more): hu (a CT that does not look like Hounsfield
    units), modality (a CT for a model of another modality), chance or batch (a network whose logits vary by
    chance, or with the other windows of a pass)."""

    def model_post_init(self, context: Any, /) -> None:
        """Refuse what goes against itself."""
        if self.restore_voxels and not self.voxels:
            raise UsageError(
                "--restore-voxels", got="it beside --no-voxels", allowed="one of them", remedy="leave one out"
            )

    @property
    def attribution_method(self) -> Method:
        """The method with its parameters."""
        from agg2exp_core.attribution import make_method

        return make_method(self.method, self.params)

    @property
    def effective_seed(self) -> int:
        """The seed where the method is random, else 0: it then changes nothing."""
        return self.seed if self.attribution_method.random else 0

    @property
    def result_label(self) -> str:
        """The name of the results in the store."""
        from agg2exp_core.attribution import is_default

        method = self.attribution_method
        if self.label is not None:
            return self.label
        name = method.name.replace(":", ".")
        if is_default(method) and self.effective_seed == 0 and self.stored == DEFAULT_STORED:
            return name
        return f"{name}-{self.recipe_identity[:8]}"

    @property
    def recipe(self) -> dict[str, Any]:
        """Method, parameters and seed: what a label stands for."""
        from agg2exp_core.attribution import parameters

        method = self.attribution_method
        recipe = {"method": method.name, "params": parameters(method), "seed": self.effective_seed}
        return recipe if self.stored == DEFAULT_STORED else recipe | {"stored": self.stored}

    @property
    def recipe_identity(self) -> str:
        """Hex digest of the recipe."""
        from agg2exp_core.store import identity

        return identity(**self.recipe)


class CalibrateSettings(Settings):
    """How the Dice of segmentations without truth is learnt for a model."""

    model: str
    """Bundle, nnU-Net folder, description, program, name, or your own module:attribute."""
    out: str
    """Folder of quality.json, and of what is measured on each scan."""
    dice: str | None = None
    """CSV of Dice of good scans, a row per scan, a column per class: their means scale what is predicted."""
    n_severities: Annotated[int, Field(ge=1, le=10)] = 4
    """Severities of each corruption: the greatest, half of it, half of that, and so on."""
    coverage: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Rate at which the lower bound should hold among poor segmentations."""
    poor: Annotated[float, Field(gt=0, lt=1)] = 0.85
    """Dice under which a segmentation is poor."""
    device: str = "auto"
    """auto, cpu, or a GPU such as cuda:0."""
    seed: int = 0
    """Seed of what is random."""


class AnalyseSettings(Settings):
    """How the matrices of a store are analysed."""

    store: Annotated[str, Place()]
    """Store of explained scans: a folder or s3://bucket/prefix."""
    label: Annotated[str, Flag("--method")] = ""
    """Which results, by their label; the only one need not be named."""
    reference: Annotated[str | None, Place()] = None
    """Store of scans that the model is known to handle."""
    quality: Annotated[str | None, Place()] = None
    """quality.json of `agg2exp calibrate`: predicts the Dice of each scan and class."""
    metadata: Annotated[str | None, Place()] = None
    """CSV of the patients, a row per scan."""
    dice: Annotated[str | None, Place()] = None
    """CSV of Dice, a row per scan, a column per class."""
    reports: Annotated[str | None, Place()] = None
    """JSON of scan ids and de-identified texts."""
    partial: bool = False
    """Accept tables and reports of which fewer than half match the scans."""
    detector: str | None = None
    """Outlier detector, such as isolation_forest; by default log_ratio."""
    rate: float = 0.05
    """Share of normal scans that are flagged."""
    poor: float | None = None
    """Dice under which a segmentation is poor; by default the lowest fifth."""
    false_alarm_rate: Annotated[float, Flag("--false-alarms")] = 0.01
    """Of a look for drift: the rate of false alarms."""
    seed: int = 0
    """Seed of what is random."""
    figures: Annotated[bool, Flag("--no-figures")] = True
    """Whether pictures are drawn; --no-figures draws none."""
    report: Annotated[str | None, Place()] = None
    """Folder that gets the pages of the report too, with the voxels of flagged scans."""
    report_url: str | None = None
    """Where people open that folder, for the Prefect UI; by default the folder itself."""

    @property
    def analysis(self) -> AnalysisSettings:
        """The same, as the analyses take it."""
        from agg2exp_core.analysis import AnalysisSettings

        given = self.model_dump(include=set(AnalysisSettings.model_fields), exclude_none=True)
        return AnalysisSettings(**given)

    @property
    def folder(self) -> str:
        """Where the findings lie in the store."""
        return f"analysis/{self.label}"


class ReduceSettings(Settings):
    """Which matrices are made again from what is stored."""

    store: Annotated[str, Place()]
    """Store of explained scans: a folder or s3://bucket/prefix."""
    labels: Annotated[list[str] | None, Flag("--label")] = None
    """Which results (again for more); all by default."""
    rois: Annotated[str | None, Place()] = None
    """Extra regions: masks DIR/<scan id>/NAME.nii.gz, or label maps DIR/<scan id>.nii.gz with
    DIR/labels.json, or for one scan a label map."""
    roi_names: Annotated[str | None, Place()] = None
    """Names of a label map: a JSON file {"1": "spleen"}."""
    drop_rois: Annotated[list[str] | None, Flag("--drop-roi")] = None
    """Extra region that goes, with its columns of all results (again for more)."""


class RetentionSettings(Settings):
    """Which attributions lose their voxels."""

    store: Annotated[str, Place()]
    """Store of explained scans: a folder or s3://bucket/prefix."""
    keep_days: Annotated[float, Field(ge=0), Flag("--keep-days")]
    """Attributions finished longer ago lose their voxels."""
    labels: Annotated[list[str] | None, Flag("--label")] = None
    """Which results (again for more); all by default."""
    dry_run: bool = False
    """Only say what would go."""
