"""What the bundles that may be chosen do in cases made to test them.

The suite, the identity terms, the edits and the trigger words are data files that people edit. Every failure rate has
its gate and its examples.

Source: Ribeiro et al. 2020, CheckList, https://arxiv.org/abs/2005.04118; Garg et al. 2019,
https://arxiv.org/abs/1809.10610; Kurita et al. 2020, https://arxiv.org/abs/2004.06660.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

import ratchet.params
from ratchet.data.sampling import unit_hash
from ratchet.engines.loading import load
from ratchet.entry import entry
from ratchet.files import replace_folder
from ratchet.gates.ranking import read_shortlist
from ratchet.measure.report_files import write_report
from ratchet.models.discovery import discover
from ratchet.models.predictor import Predictor
from ratchet.params import load_params, read_params
from ratchet.reporting.behaviour_page import failures_page
from ratchet.table_files import read_table
from ratchet.tables import LABELED, SPLIT
from ratchet.task import InferenceThreads, NBootstrap, Seed, Selected
from ratchet.trust.behaviour import (
    Suite,
    behaviour_metrics,
    behaviour_tests,
    judge,
    kinds_without_cases,
    make_cases,
    merge_suites,
)
from ratchet.trust.language import Articles, Language
from ratchet.trust.lexicons import Lexicon
from ratchet.trust.selected_classes import need_classes
from ratchet.trust.text_edits import Contrast, Invariance, invariance_edits
from ratchet.trust.token_fairness import FAIRNESS, UNDECIDED, make_swaps, token_fairness
from ratchet.trust.triggers import candidate_words, scan

if TYPE_CHECKING:
    import pandas as pd

READS = {
    "shortlist": "reports/shortlist.json",
    "bundles": "models/*",  # every bundle that an earlier stage writes, discovered from its manifest
    "splits": "data/splits",
    "labeled": "data/labeled.parquet",
    "suites": "data/behaviour",
    "lexicon": "data/lexicons/identity.yaml",
    "contrast": "data/challenge/contrast.yaml",
    "invariance": "data/challenge/invariance.yaml",
    "language": "data/lexicons/language.yaml",
}
WRITES = {"pages": "reports/behave", "report": "reports/behave.json"}
TRIGGERS = "triggers.yaml"
"""The file of the suites' folder that holds words instead of tests."""
POSITIVE = "params.yaml, behave.positive_labels"


class Params(ratchet.params.Params):
    """Which bundles are tested, and in how many cases."""

    positive_labels: Selected
    n_cases: int = Field(ge=1)
    """Cases of each test of the suite, at most."""
    n_texts: int = Field(ge=10)
    """Validation texts that are edited, added to and scanned with, chosen by hash."""
    n_swaps: int = Field(ge=1)
    """Swaps of identity terms in validation texts for each attribute, at most."""
    min_word_texts: int = Field(ge=1)
    """Training texts that must hold a word for it to be tried as a trigger."""
    n_trigger_words: int = Field(ge=1)
    """Words of each class that are tried on sure texts."""
    n_trigger_texts: int = Field(ge=2)
    """Sure texts of each class that they are tried on."""
    n_examples: int = Field(ge=0, le=100)
    """Failing cases of each test that are shown."""
    n_bootstrap: NBootstrap
    n_threads: InferenceThreads
    seed: Seed


class Rules(NamedTuple):
    """What the data files hold."""

    suite: Suite
    lexicon: Lexicon
    contrast: Contrast
    invariance: Invariance
    trigger_words: list[str]
    cues: list[str]
    articles: Articles


class Triggers(ratchet.params.Params):
    """data/behaviour/triggers.yaml."""

    words: list[str]
    """Words to try beside those of the training texts."""
    cues: list[str]
    """Words that may decide, because that is what they mean."""


class Tables(NamedTuple):
    """The texts of a run; all with `id`, `text` and `label`."""

    validation: pd.DataFrame
    labeled: pd.DataFrame


def run(predictor: Predictor, tables: Tables, rules: Rules, params: Params) -> dict[str, Any]:
    """What one bundle does: its metrics, the tests one by one, swaps and triggers.

    Args:
        predictor: the bundle.
        tables: labelled texts.
        rules: the data files.
        params: see `Params`.

    Raises:
        TableError: a positive label is no class of the bundle.
    """
    need_classes(params.positive_labels, predictor.labels, POSITIVE)
    sample = _sample(tables.validation, params.n_texts, "behave")
    texts = dict(zip(sample["id"], sample["text"], strict=True))
    edits = invariance_edits(rules.invariance, rules.contrast, rules.articles)
    cases = make_cases(rules.suite, edits, texts, predictor.labels, params.n_cases, rules.articles)
    outcomes = judge(predictor, rules.suite, cases)
    every = dict(zip(tables.validation["id"], tables.validation["text"], strict=True))
    fairness, by_attribute = token_fairness(
        predictor,
        make_swaps(every, rules.lexicon, params.n_swaps, rules.articles),
        params.positive_labels,
        params.n_bootstrap,
        params.n_examples,
        params.seed,
    )
    proba = predictor.predict_proba(sample["text"].tolist())
    cues = rules.contrast.words.union(rules.cues)
    words = candidate_words(tables.labeled["text"], params.min_word_texts, rules.trigger_words, cues)
    found = scan(predictor, words, sample["text"].tolist(), proba, params.n_trigger_words, params.n_trigger_texts)
    metrics = {
        **behaviour_metrics(rules.suite, outcomes),
        **fairness,
        "trigger_flip_rate": found.flip_rate,
    }
    return {
        "metrics": {name: estimate.to_json() for name, estimate in metrics.items()},
        "kinds_without_cases": kinds_without_cases(rules.suite, outcomes),
        "tests": behaviour_tests(rules.suite, outcomes, params.n_examples),
        "swaps": by_attribute,
        "triggers": {"n_words": found.n_words, "words": found.words},
    }


def without_cases(told: Mapping[str, Any]) -> dict[str, str]:
    """Metric → why there is no case to measure it on, by what `run` returned of a bundle."""
    found = {f"{kind}_failure_rate": f"no test of kind {kind}" for kind in told["kinds_without_cases"]}
    if not told["swaps"]:
        found |= dict.fromkeys(FAIRNESS, "no text holds a term that can be exchanged")
    elif told["metrics"]["counterfactual_flip_rate"].get("reason") == UNDECIDED:
        found["counterfactual_flip_rate"] = UNDECIDED
    return found


def _sample(frame: pd.DataFrame, n: int, salt: str) -> pd.DataFrame:
    """`n` rows by the hash of their id: they change little when texts are added."""
    order = frame["id"].map(lambda key: unit_hash(key, salt)).sort_values(kind="stable").index
    return frame.loc[order].head(n)


def load_rules() -> Rules:
    """The data files, checked."""
    folder = Path(READS["suites"])
    files = sorted(path for path in folder.glob("*.yaml") if path.name != TRIGGERS)
    suite = merge_suites([read_params(Suite, path) for path in files])
    triggers = read_params(Triggers, folder / TRIGGERS)
    return Rules(
        suite,
        read_params(Lexicon, Path(READS["lexicon"])),
        read_params(Contrast, Path(READS["contrast"])),
        read_params(Invariance, Path(READS["invariance"])),
        triggers.words,
        triggers.cues,
        read_params(Language, Path(READS["language"])).articles,
    )


def main() -> None:
    params, rules, splits = load_params(Params, "behave"), load_rules(), Path(READS["splits"])
    validation = read_table(splits / "validation.parquet", SPLIT).dropna(subset="label")
    tables = Tables(validation, read_table(Path(READS["labeled"]), LABELED))
    need_classes(params.positive_labels, set(validation["label"]), POSITIVE)
    names, paths = read_shortlist(Path(READS["shortlist"])), discover(Path(READS["bundles"]).parent)
    bundles: dict[str, Any] = {}
    without: dict[str, str] = {}
    with replace_folder(Path(WRITES["pages"])) as folder:
        for name in names:
            print(f"testing the behaviour of {name}", flush=True)
            predictor = load(paths[name], params.n_threads)
            told = run(predictor, tables, rules, params)
            (folder / f"{name}.md").write_text(failures_page(name, told), encoding="utf-8")
            without |= without_cases(told)
            bundles[name] = told | {"examples": dict.fromkeys(told["metrics"], f"{WRITES['pages']}/{name}.md")}
        listed = "".join(f"{name}.md\n" for name in names) or "No bundle is on the shortlist.\n"
        (folder / "contents.txt").write_text(listed, encoding="utf-8")
    report = {"command": "python -m pipeline_steps.behave", "without_cases": without, "bundles": bundles}
    write_report(Path(WRITES["report"]), report)


if __name__ == "__main__":
    entry(main)
