"""Which labels are trained on: all there are, or those that simulated active learning buys, and what they are worth.

With `budget: all` every labelled training text is used. A number declares an experiment: the training split plays the
oracle, a label counts as bought when the query strategy asks for it, and no later stage sees any other. Logistic
regression on frozen embeddings chooses, together with the champion where there is one. Source:
Settles 2009, Active Learning Literature Survey, section 2.3 (pool-based sampling),
https://burrsettles.com/pub/settles.activelearning.pdf.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidatorFunctionWrapHandler, field_validator

from ratchet.embeddings.table import Embeddings, read_embeddings
from ratchet.engines.loading import load
from ratchet.entry import entry
from ratchet.errors import TrainingError
from ratchet.files import replace_file
from ratchet.labels.active_learning import Plan, query_sizes
from ratchet.labels.human_labels import Joined, join_human_labels, usable_labels
from ratchet.labels.label_cost import curve_figures, people_report, undefined_figures
from ratchet.labels.label_efficiency import curve_table, label_efficiency
from ratchet.labels.purchase import buy, use_all
from ratchet.labels.query_strategies import QUERY_STRATEGIES
from ratchet.labels.resolution import current_decisions
from ratchet.labels.selection_model import unit_length
from ratchet.labels.stopping import Stopping, StoppingCriterion
from ratchet.labels.store import read_store
from ratchet.measure.primary import PrimaryMetricParams
from ratchet.measure.report_files import write_report
from ratchet.models.champion import champion_path, champion_proba
from ratchet.models.examples import class_indices, class_names
from ratchet.models.predictor import Predictor, Proba
from ratchet.params import load_params
from ratchet.table_files import read_batches, read_table, write_table
from ratchet.tables import HUMAN_LABELS, LABELED, SPLIT, UNLABELED, empty_table
from ratchet.task import NearDuplicateThreshold, Seed

if TYPE_CHECKING:
    import pandas as pd

READS = {
    "splits": "data/splits",
    "embeddings": "data/embeddings.parquet",
    "human_labels": "data/labels.json",
    "champion": "models/champion.json",
}
LABEL_STORE = "data/labels"
"""The batches that `human_labels` names and pins by hash: DVC tracks them beside the stages."""
BY_PEOPLE = "people"
"""What LABELED names as query strategy of a label that people gave."""
GIVEN = "given"
"""The same of a label that came with its text, where none is bought."""
ALL = "all"
NO_EXPERIMENT = "an experiment that was not declared: sample.budget is all"
WRITES = {
    "labeled": "data/labeled.parquet",
    "unlabeled": "data/unlabeled.parquet",
    "report": "reports/sample.json",
    "curve": "reports/label_efficiency.csv",
}


Strategy = Literal[
    "random", "least_confidence", "margin", "entropy", "bald", "k_center", "badge", "contrastive", "typiclust", "hybrid"
]


class Params(PrimaryMetricParams):
    """How many labels are used, and how they are chosen where that is not all of them."""

    query_strategy: Strategy
    """What chooses the labels; with two classes entropy, margin and least_confidence choose alike."""
    initial_strategy: Literal["random", "typiclust"]
    """What chooses the first labels, before there is a model to ask."""
    budget: Literal["all"] | Annotated[int, Field(ge=2)]
    """all: every label there is, and the keys of the experiment say nothing. A number: the labels, people's included,
    that are bought from the training split in simulation, for which the label-efficiency curve is measured."""
    n_initial: int = Field(ge=1)
    """Labels bought before the strategy has a model to ask."""
    n_rounds: int = Field(ge=1, le=1000)
    """Rounds in which the rest is bought, so batches of (budget − n_initial) / n_rounds; the model is refitted each."""
    stopping: StoppingCriterion
    """budget: at the budget. kappa, stable_predictions: earlier, once models of successive rounds agree on the pool."""
    stopping_threshold: float = Field(ge=0, le=1)
    """Cohen's kappa that the agreement has to exceed."""
    stopping_patience: int = Field(ge=1)
    """Successive rounds in which it has to."""
    curve_strategies: list[Strategy] = Field(min_length=1)
    """Strategies whose label efficiency is compared, all from random first labels, beside query_strategy and random."""
    n_curve_labels: int = Field(ge=2)
    """Labels up to which the strategies are compared."""
    n_curve_seeds: int = Field(ge=1, le=1000)
    """Repetitions of the comparison."""
    near_duplicate_threshold: NearDuplicateThreshold
    usd_per_annotator_hour: float = Field(ge=0)
    """Price of an hour of a person who labels, in US dollars."""
    inverse_regularization: float = Field(gt=0)
    """Of the selection model, on embeddings of unit length; larger fits closer."""
    champion_weight: float = Field(ge=0, le=1)
    """Share of the champion in the probabilities that query_strategy sees, the selection model having the rest; 0: the
    champion is not asked. Nothing changes for strategies that look at no probabilities: random, bald, k_center,
    typiclust."""
    balanced: bool
    """Whether the selection model weighs each class the same, however rare it is: for pools with a rare class."""
    seed: Seed

    @field_validator("budget", mode="wrap")
    @classmethod
    def _one_message(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValueError:  # a message for each member of the union
            raise ValueError("is neither all nor a number of labels, at least 2") from None


class Sampled(NamedTuple):
    """What `run` returns."""

    labeled: pd.DataFrame
    unlabeled: pd.DataFrame
    curve: pd.DataFrame
    report: dict[str, Any]


def run(
    train: pd.DataFrame,
    train_embeddings: Embeddings,
    validation: pd.DataFrame,
    validation_embeddings: Embeddings,
    params: Params,
    human_labels: pd.DataFrame | None = None,
    champion: Predictor | None = None,
) -> Sampled:
    """The labels that are trained on, the texts left without, the label-efficiency curve and the report.

    Args:
        train: the pool; a text whose label is missing can never be bought.
        train_embeddings: its embeddings, (n_train, hidden).
        validation: labelled texts on which selection models are measured; their classes are all there are.
        validation_embeddings: its embeddings, (n_validation, hidden).
        params: see `Params`.
        human_labels: people's labels of texts that may be trained on, rows of HUMAN_LABELS; they win over the pool's
            and count as bought from the start. A text outside the pool is trained on, but chooses nothing.
        champion: the released model, whose uncertainty counts by `params.champion_weight`; None: there is none. The
            label-efficiency curve is measured without it: the champion has seen labels that the curve has not bought.

    Raises:
        ParamsError: the primary metric does not fit the classes.
        TrainingError: the pool holds no label, or one that validation lacks.
        BundleError: the champion knows other classes.
    """
    labels = class_names(validation)
    metric = params.metric_of(labels)
    people = join_human_labels(train, empty_table(HUMAN_LABELS) if human_labels is None else human_labels)
    train = people.train
    hidden = class_indices(train, labels)
    known = np.flatnonzero(hidden >= 0)
    if len(known) == 0:
        raise TrainingError(
            "There is no label to learn from.",
            where=f"{READS['splits']}/train.parquet",
            got=f"{len(train)} texts, 0 labels",
            expected="labels of at least some texts",
            fix="label texts of the corpus and ingest it again",
        )
    pool = (unit_length(train_embeddings[known]), hidden[known])
    held_out = (unit_length(validation_embeddings), class_indices(validation, labels))
    curves = None
    if params.budget == ALL:
        bought = use_all(pool, held_out, metric, params.inverse_regularization, params.balanced)
    else:
        says = None
        if champion is not None:
            print(f"the champion '{champion.manifest.name}' looks at {len(known)} texts", flush=True)
            says = champion_proba(champion, train["text"].iloc[known].tolist(), labels)
        given = np.flatnonzero(people.by_people[known])
        bought = buy(pool, held_out, metric, _plan(params, len(known), len(given), says), given, params.seed)
        curves = label_efficiency(
            pool,
            held_out,
            metric,
            (params.n_initial, params.n_curve_labels, params.n_rounds),
            [params.query_strategy, *params.curve_strategies],
            (params.inverse_regularization, params.balanced),
            params.n_curve_seeds,
            params.seed,
        )
    labeled = _labeled(people, known[bought.chosen], bought.rounds, params)
    used = np.zeros(len(train), dtype=bool)
    used[known[bought.chosen]] = True
    report = {
        "budget": params.budget,
        "query_strategy": None if params.budget == ALL else params.query_strategy,
        "primary_metric": metric.name,
        "champion": None if champion is None else champion.manifest.name,
        "n_pool": len(train),
        "n_labeled": len(labeled),
        "n_unlabeled": int((~used).sum()),
        "n_without_label": len(train) - len(known),
        "n_labeled_by_people": int(people.by_people.sum()) + len(people.elsewhere),
        "labels": labeled["label"].value_counts().sort_index().to_dict(),
        "rounds": bought.scores,
        **(curve_figures(curves, params.query_strategy, params.seed) if curves else undefined_figures(NO_EXPERIMENT)),
    }
    unlabeled = train.loc[~used, list(UNLABELED.columns)].reset_index(drop=True)
    return Sampled(labeled, unlabeled, curve_table(curves), report)


def _labeled(people: Joined, bought: NDArray[np.int64], rounds: list[int], params: Params) -> pd.DataFrame:
    """The texts that are trained on: those of people outside the pool, then those of the pool, in that order."""
    import pandas as pd

    first, later = (GIVEN, GIVEN) if params.budget == ALL else (params.initial_strategy, params.query_strategy)
    labeled = people.train.iloc[bought][["id", "text", "label", "source"]].assign(
        round=np.asarray(rounds, dtype=np.int64),
        query_strategy=[
            BY_PEOPLE if person else first if number == 0 else later
            for number, person in zip(rounds, people.by_people[bought], strict=True)
        ],
    )
    if len(people.elsewhere):
        labeled = pd.concat([people.elsewhere.assign(round=0, query_strategy=BY_PEOPLE), labeled])
    return labeled.reset_index(drop=True)


def _plan(params: Params, n_pool: int, n_given: int, champion: Proba | None) -> Plan:
    """How many labels are bought in each round, and what chooses them."""
    n_labels = max(min(int(params.budget), n_pool), n_given)
    return Plan(
        QUERY_STRATEGIES[params.query_strategy],
        query_sizes(max(params.n_initial, n_given), n_labels, params.n_rounds),
        params.inverse_regularization,
        params.balanced,
        QUERY_STRATEGIES[params.initial_strategy],
        Stopping(params.stopping, params.stopping_threshold, params.stopping_patience),
        champion,
        params.champion_weight,
    )


def main() -> None:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    params = load_params(Params, "sample")
    splits = Path(READS["splits"])
    train, validation = (read_table(splits / f"{name}.parquet", SPLIT) for name in ("train", "validation"))
    validation = validation.dropna(subset="label")
    embeddings = read_embeddings(Path(READS["embeddings"]), [*train["id"], *validation["id"]])
    store = read_store(Path(READS["human_labels"]), Path(LABEL_STORE))
    others = (path for path in sorted(splits.glob("*.parquet")) if path.stem != "train")
    held_out = (batch for path in others for batch in read_batches(path, SPLIT, ["id", "text"]))
    decisions = current_decisions(store.decisions)
    usable = usable_labels(decisions, train["id"], held_out, params.near_duplicate_threshold)
    asks_champion = params.champion_weight > 0 and params.budget != ALL
    champion = champion_path(Path(READS["champion"])) if asks_champion else None
    predictor = None if champion is None else load(champion, n_threads=1)  # one thread: the same labels everywhere
    if params.budget == ALL:
        print(f"using all {int(train['label'].notna().sum()):,} labels of the training split", flush=True)
    else:
        print(
            f"buying labels by '{params.query_strategy}', and comparing with {', '.join(params.curve_strategies)}",
            flush=True,
        )
    with threadpool_limits(1):  # models this small are fastest on one thread, and the same on every machine's count
        sampled = run(
            train, embeddings[: len(train)], validation, embeddings[len(train) :], params, usable.labels, predictor
        )
    people = people_report(store, class_names(validation), params.usd_per_annotator_hour, params.seed)
    withheld = {"n_held_out": usable.n_held_out, "n_near_held_out": usable.n_near_held_out}
    report = {**sampled.report, "people": {**people, **withheld}}
    write_table(Path(WRITES["labeled"]), sampled.labeled, LABELED)
    write_table(Path(WRITES["unlabeled"]), sampled.unlabeled, UNLABELED)
    with replace_file(Path(WRITES["curve"])) as partial:
        sampled.curve.to_csv(partial, index=False, float_format="%.6f", lineterminator="\n")
    write_report(Path(WRITES["report"]), {"command": "python -m pipeline_steps.sample", **report})


if __name__ == "__main__":
    entry(main)
