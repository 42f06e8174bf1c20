"""The task definition: block `task` of params.yaml, and the fields of stages that read their values from it.

A step declares a field with one of the types below (`seed: Seed`), and `load_params` gives it the value that stands
in `task`. Such a field is all that a stage knows of the task, so dvc.yaml names `task.seed` for it and an edit of
another key reruns nothing; the contract test holds the two lists against each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ratchet.params import At, Measured, Params
from ratchet.values import raw_value

Kind = Literal["single_label"]
Metric = Literal["accuracy", "macro_f1", "balanced_accuracy", "average_precision", "expected_cost"]
Aim = Literal["size", "latency", "memory", "cost", "quality"]


class TaskClass(Params):
    """A class and the raw values that mean it."""

    name: str = Field(min_length=1, max_length=100)
    """The name of the class, in reports, bundles and answers."""
    values: list[str | int | float | bool] = Field(min_length=1)
    """Raw values of the label column that mean it: one or several."""

    @property
    def raw_values(self) -> list[str]:
        """The values as `raw_value` writes them."""
        return raw_values(self.values)


class BackboneSource(Params):
    """Where a pretrained encoder comes from, and which one it is."""

    source: str = Field(min_length=1)
    """package:NAME/FOLDER, a local folder, or a hub id; in place of a folder a packed file."""
    sha256: str = Field(pattern=r"^([0-9a-f]{64})?$")
    """Hash of its model.safetensors, or of the packed file; empty: not pinned."""


class Task(Params):
    """The task: classes, columns, primary metric, aim and hard limits."""

    kind: Kind
    """single_label: each text has one class."""
    classes: list[TaskClass] = Field(min_length=2)
    """The classes, in the order in which bundles give their probabilities."""
    text_column: str = Field(min_length=1)
    """Column of the source that holds the text."""
    label_column: str = Field(min_length=1)
    """Column of the source that holds the label; an empty cell is a text nobody has labelled."""
    ignored_labels: list[str | int | float | bool]
    """Values of the label column that mean no class of this task, such as `unsure` or one that is too rare: their
    texts stay, without a label."""
    id_column: str
    """Column of the source with an id of its own for each row, carried along; empty: there is none."""
    source_column: str
    """Column of the source that says where a text comes from; empty: the file's name without its suffix, `query`, or
    the name of the split."""
    time_column: str
    """Column of the source with ISO 8601 times, UTC where they name no zone; empty: there is none."""
    group_column: str
    """Column of the source whose equal values stay on one side of the split, such as an author; empty: none."""
    metadata_columns: list[str]
    """Further columns of the source to carry along, as strings."""
    languages: list[str] = Field(min_length=1)
    """Languages (ISO 639-1) that the texts are written in; others are flagged."""
    selected: list[str]
    """Classes whose prediction counts as being selected, in measures of fairness; empty: none does."""
    primary_metric: Metric
    """The primary metric: decides early stopping, curves, slices, the shortlist, the ranking."""
    rare_class: str
    """The class that average_precision is of; empty for the other metrics."""
    cost_matrix: list[list[float]]
    """Cost of deciding for the column's class where the row's is true, for expected_cost; empty for the others."""
    aim: Aim
    """What to minimise among candidates of equal quality; quality: nothing, the most accurate comes first."""
    max_size_mb: float = Field(ge=0)
    """Megabytes on disk that a candidate may have; 0: no limit."""
    max_p95_ms: float = Field(ge=0)
    """Milliseconds at the 95th percentile, batch 1, that a candidate may take; 0: no limit."""
    max_memory_mb: float = Field(ge=0)
    """Megabytes of memory that serving a candidate may take; 0: no limit."""
    backbones: list[BackboneSource] = Field(min_length=1)
    """The pretrained encoders that may be tried; the first embeds texts for choosing and judging them."""
    near_duplicate_threshold: float = Field(ge=0.5, le=1)
    """Jaccard similarity of three-word shingles from which two texts count as near-duplicates, in [0.5, 1]."""
    length_quantiles: list[float] = Field(min_length=2, max_length=2)
    """Quantiles of the training texts' number of words at which a text stops being short, and medium."""
    n_bootstrap: int = Field(ge=100, le=100_000)
    """Bootstrap draws behind each 95 % interval."""
    n_bins: int = Field(ge=2, le=100)
    """Bins of confidence in the calibration error and the reliability plot."""
    seed: int = Field(ge=0)
    """Seed of every random choice."""
    train_threads: int = Field(ge=1, le=1024)
    """CPU threads of training and embedding: a fixed number, since another one changes the last bits of the weights."""
    minutes: float = Field(gt=0)
    """Minutes that a run of all stages may take; `ratchet.measure.time_plan` fits sizes to them."""
    inference_threads: int = Field(ge=0, le=1024)
    """CPU threads of inference; 0: all cores."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names, values = self.labels, [value for item in self.classes for value in item.raw_values]
        if repeated := _repeated(names):
            raise ValueError(f"classes: two bear the name {', '.join(repeated)}")
        if repeated := _repeated(values):
            raise ValueError(
                f"classes: {', '.join(repeated)} would mean two classes (1, 1.0, '1' and true are the same)"
            )
        if both := sorted({*values} & {*raw_values(self.ignored_labels)}):
            raise ValueError(f"ignored_labels: {', '.join(both)} would mean a class and none")
        if unknown := sorted({*self.selected} - {*names}):
            raise ValueError(f"selected: {', '.join(unknown)} is no class; classes are {', '.join(names)}")
        if len({*self.selected}) == len(names):
            raise ValueError("selected: holds every class, so that nothing could differ; leave at least one out")
        if (self.primary_metric == "average_precision") != bool(self.rare_class):
            raise ValueError("rare_class: average_precision needs one, and no other metric takes one")
        if self.rare_class and self.rare_class not in names:
            raise ValueError(f"rare_class: {self.rare_class} is no class; classes are {', '.join(names)}")
        self._check_costs(len(names))
        low, high = self.length_quantiles
        if not 0 < low < high < 1:
            raise ValueError(f"length_quantiles: {low:g} and {high:g} are not in order between 0 and 1")
        if repeated := _repeated(self.columns):
            raise ValueError(f"columns: {', '.join(repeated)} is named twice")
        if repeated := _repeated([item.source for item in self.backbones]):
            raise ValueError(f"backbones: {', '.join(repeated)} is named twice")
        return self

    def _check_costs(self, n_classes: int) -> None:
        if (self.primary_metric == "expected_cost") != bool(self.cost_matrix):
            raise ValueError("cost_matrix: expected_cost needs one, and no other metric takes one")
        if self.cost_matrix and [len(row) for row in self.cost_matrix] != [n_classes] * n_classes:
            raise ValueError(f"cost_matrix: must have {n_classes} rows of {n_classes} costs, a row a true class")
        if any(cost < 0 for row in self.cost_matrix for cost in row):
            raise ValueError("cost_matrix: a cost is negative")

    @property
    def labels(self) -> list[str]:
        """The names of the classes, in order."""
        return class_names(self.classes)

    @property
    def columns(self) -> list[str]:
        """The columns of the source that the task names."""
        named = [self.text_column, self.label_column, self.id_column, self.source_column, self.time_column]
        return [name for name in [*named, self.group_column, *self.metadata_columns] if name]


def raw_values(values: Sequence[object]) -> list[str]:
    """The values as `raw_value` writes them."""
    return [raw_value(value) for value in values]


def class_names(classes: Sequence[TaskClass]) -> list[str]:
    """The names of the classes, in order."""
    return [item.name for item in classes]


def _at(key: str, view: Callable[[Any], Any] = lambda value: value) -> At:
    return At(f"task.{key}", Task, view)


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted(name for name, n in Counter(names).items() if n > 1)


Classes = Annotated[list[TaskClass], _at("classes")]
Labels = Annotated[list[str], _at("classes", class_names)]
TextColumn = Annotated[str, _at("text_column")]
LabelColumn = Annotated[str, _at("label_column")]
IgnoredLabels = Annotated[list[str], _at("ignored_labels", raw_values)]
IdColumn = Annotated[str, _at("id_column")]
SourceColumn = Annotated[str, _at("source_column")]
TimeColumn = Annotated[str, _at("time_column")]
GroupColumn = Annotated[str, _at("group_column")]
MetadataColumns = Annotated[list[str], _at("metadata_columns")]
Selected = Annotated[list[str], _at("selected")]
PrimaryMetric = Annotated[Metric, _at("primary_metric")]
RareClass = Annotated[str, _at("rare_class")]
CostMatrix = Annotated[list[list[float]], _at("cost_matrix")]
TaskAim = Annotated[Aim, _at("aim")]
MaxSizeMb = Annotated[float, _at("max_size_mb")]
MaxP95Ms = Annotated[float, _at("max_p95_ms")]
MaxMemoryMb = Annotated[float, _at("max_memory_mb")]
Backbones = Annotated[list[BackboneSource], _at("backbones")]
NearDuplicateThreshold = Annotated[float, _at("near_duplicate_threshold")]
LengthQuantiles = Annotated[list[float], _at("length_quantiles")]
NBootstrap = Annotated[int, _at("n_bootstrap")]
NBins = Annotated[int, _at("n_bins")]
Seed = Annotated[int, _at("seed")]
TrainThreads = Annotated[int, _at("train_threads")]
InferenceThreads = Annotated[int, _at("inference_threads")]
SelectionRegularization = Annotated[float, Field(gt=0), At("sample.inverse_regularization")]
"""Inverse regularization of the selection models: logistic regression on embeddings of unit length."""
MaxNgram = Annotated[int, At("baseline.max_ngram")]
"""Longest run of words that is a term of TF-IDF."""
NTokens = Annotated[int, At("prune.n_tokens")]
"""Tokens of the vocabulary that stay in a compressed model; 0: all."""
Repairs = Annotated[list[str], At("ingest.repairs")]
"""What is repaired in the texts: `ratchet.data.cleaning.REPAIRS`."""
PersonalData = Annotated[Literal["off", "flag", "mask"], At("validate.personal_data")]
Regions = Annotated[list[str], At("validate.regions")]
"""Countries (ISO 3166) whose national formats of telephone and identity numbers count as personal data."""
LengthEdges = Annotated[list[int], Field(min_length=2, max_length=2), Measured([12, 25])]
"""The most words of a short text, and of a medium one: the quantiles of the training texts, which `split` measures."""
