"""Benchmark of the query strategies: labels saved against random choice and scikit-activeml, cost on a large pool.

    python -m benchmarks.labels                    strategies × seeds × data sets → reports/bench/labels.json
    python -m benchmarks.labels --without typiclust    the same, less the slowest of them
    python -m benchmarks.labels --pool 1000000     one query of each strategy on a pool of that size
    python -m benchmarks.labels --into docs/decisions/label-selection.md    the report's tables into a page

The texts are the train and validation splits; the test split stays unseen. Each seed deals them anew into a pool and
held-out texts, and all strategies of a seed start from the same first labels. Finished runs are kept in `.scratch`.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.label_figures import markdown, summary
from benchmarks.large_pool import measure
from benchmarks.peers import PEERS
from pipeline_steps import sample
from ratchet.entry import entry
from ratchet.files import read_json, sha256_json, write_json
from ratchet.labels import active_learning, committee, diversity_strategies, query_strategies, selection_model
from ratchet.labels import pool as pool_module
from ratchet.labels.active_learning import Plan, learn, query_sizes
from ratchet.labels.pool import Embeddings, Indices, Pool, QueryStrategy
from ratchet.labels.query_strategies import ALIKE_FOR_TWO, QUERY_STRATEGIES
from ratchet.labels.selection_model import fit_selection_model, unit_length
from ratchet.params import load_params
from ratchet.reporting.marked_block import write_block

REPORT = Path("reports/bench/labels.json")
SCRATCH = Path(".scratch/bench/labels")
N_HELD_OUT = 2000
SIZES = (50, 500, 10)
"""Labels at random first, labels in all, rounds."""
CODE = [
    Path(module.__file__ or "")
    for module in (active_learning, committee, diversity_strategies, pool_module, query_strategies, selection_model)
]
"""Code that invalidates a cached run."""
TYPICAL_START = "hybrid from typiclust"
"""The one contender that chooses its first labels too: all others start from the same random ones."""
MOST_PEER_SEEDS = {"typiclust": 3}
"""Seeds at most for those of scikit-activeml's whose queries take seconds."""
RARE = 0.1
"""Share of positives in the pool of the second data set."""


@dataclass(frozen=True)
class PoolSplit:
    """One seed's pool and held-out texts: embeddings of unit length and classes."""

    pool: Embeddings
    targets: NDArray[np.int64]
    held_out: Embeddings
    held_out_targets: NDArray[np.int64]


def read_embedded() -> tuple[Embeddings, NDArray[np.int64]]:
    """Embeddings and classes of the labelled train and validation texts, as `sample` reads them."""
    from ratchet.embeddings.table import read_embeddings
    from ratchet.models.examples import class_indices, class_names
    from ratchet.table_files import read_table
    from ratchet.tables import SPLIT

    tables = [read_table(Path(sample.READS["splits"]) / f"{name}.parquet", SPLIT) for name in ("train", "validation")]
    tables = [table.dropna(subset="label") for table in tables]
    embeddings = read_embeddings(Path(sample.READS["embeddings"]), [key for table in tables for key in table["id"]])
    labels = class_names(tables[1])
    return unit_length(embeddings), np.concatenate([class_indices(table, labels) for table in tables])


def draw_split(embeddings: Embeddings, targets: NDArray[np.int64], rare: bool, seed: int) -> PoolSplit:
    """A seed's pool and held-out texts; with `rare`, class 1 is thinned out to `RARE` of either."""
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(len(targets))
    parts = [order[N_HELD_OUT:], order[:N_HELD_OUT]]
    if rare:
        parts = [_thinned(rows, targets, rng) for rows in parts]
    pool, held_out = parts
    return PoolSplit(embeddings[pool], targets[pool], embeddings[held_out], targets[held_out])


def _thinned(rows: Indices, targets: NDArray[np.int64], rng: np.random.Generator) -> Indices:
    common, positive = rows[targets[rows] != 1], rows[targets[rows] == 1]
    kept = positive[: round(len(common) * RARE / (1 - RARE))]
    return rng.permutation(np.concatenate([common, kept]))


def learn_once(
    split: PoolSplit, strategy: QueryStrategy, inverse_regularization: float, seed: int, initial: str = "random"
) -> dict[str, Any]:
    """Accuracy, average precision of class 1 and balanced accuracy after each round, and CPU seconds of each query."""
    from sklearn.metrics import average_precision_score, balanced_accuracy_score

    seconds: list[float] = []

    def timed(pool: Pool, batch_size: int, rng: np.random.Generator) -> Indices:
        started = time.process_time()
        asked = strategy(pool, batch_size, rng)
        seconds.append(time.process_time() - started)
        return asked

    figures: dict[str, list[float]] = {"accuracy": [], "average_precision": [], "balanced_accuracy": []}
    plan = Plan(timed, query_sizes(*SIZES), inverse_regularization, initial=QUERY_STRATEGIES[initial])
    for _, model in learn(split.pool, split.targets, 2, plan, np.random.default_rng([seed, 2])):
        proba = model(split.held_out)
        predicted = proba.argmax(axis=1)
        figures["accuracy"].append(float(np.mean(predicted == split.held_out_targets)))
        figures["balanced_accuracy"].append(float(balanced_accuracy_score(split.held_out_targets, predicted)))
        figures["average_precision"].append(float(average_precision_score(split.held_out_targets, proba[:, 1])))
    return {**figures, "query_cpu_s": seconds}


def peer_strategy(name: str, split: PoolSplit, inverse_regularization: float) -> QueryStrategy:
    """scikit-activeml's strategy behind this repository's signature."""
    return lambda pool, n, rng: PEERS[name](pool, split.targets, 2, inverse_regularization)(n, rng)


def kept(key: dict[str, Any], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result kept under this key, computed and written when there is none."""
    path = SCRATCH / f"{sha256_json(key)[:24]}.json"
    if not path.exists():
        write_json(path, {"key": key, "result": compute()})
    result: dict[str, Any] = read_json(path)["result"]
    return result


def compare_speed(
    split: PoolSplit, inverse_regularization: float, n_repeats: int, without: Sequence[str]
) -> dict[str, dict[str, list[float]]]:
    """CPU seconds of one query of 45 texts with 275 labels, ours and the peer's in turn, by strategy.

    Outside the clock is what does not depend on the strategy: the fit of the model that both sides are given. Inside is
    all else, for both: a committee is fitted anew for each query.
    """
    labeled = np.zeros(len(split.pool), dtype=bool)
    labeled[np.random.default_rng(0).permutation(len(labeled))[:275]] = True
    found: dict[str, dict[str, list[float]]] = {}
    for name, peer in ((name, peer) for name, peer in PEERS.items() if name not in without):
        found[name] = {"ours": [], "peer": []}
        for repeat in range(n_repeats):
            model = fit_selection_model(split.pool[labeled], split.targets[labeled], 2, inverse_regularization)
            pool = Pool(split.pool, labeled, model(split.pool), model.draw_proba)
            prepared = peer(pool, split.targets, 2, inverse_regularization)
            for who in ("ours", "peer"):
                rng, started = np.random.default_rng(repeat), time.process_time()
                if who == "ours":
                    QUERY_STRATEGIES[name](pool, 45, rng)
                else:
                    prepared(45, rng)
                found[name][who].append(time.process_time() - started)
    return found


def compare(n_seeds: int, n_peer_seeds: int, n_repeats: int, without: Sequence[str] = ()) -> dict[str, Any]:
    """The comparison as a report, less those strategies; of the ones that ask alike with two classes one runs."""
    embeddings, targets = read_embedded()
    strength = load_params(sample.Params, "sample").inverse_regularization
    data_hash = hashlib.sha256(embeddings.tobytes() + targets.tobytes()).hexdigest()
    code = [path.read_bytes() for path in CODE]
    base = {"data": data_hash, "code": hashlib.sha256(b"".join(code)).hexdigest(), "strength": strength}
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for rare in (False, True):
        by_strategy = runs.setdefault("10 % positives" if rare else "balanced", {})
        jobs = [
            (name, "ours", seed) for name in [*_different(QUERY_STRATEGIES), TYPICAL_START] for seed in range(n_seeds)
        ]
        n_dealt = {name: min(n_peer_seeds, MOST_PEER_SEEDS.get(name, n_peer_seeds)) for name in _different(PEERS)}
        jobs += [(name, "peer", seed) for name, n in n_dealt.items() for seed in range(n)]
        jobs = [job for job in jobs if job[0] not in without]
        for name, who, seed in jobs:
            split = draw_split(embeddings, targets, rare, seed)
            initial = "typiclust" if name == TYPICAL_START else "random"
            strategy = QUERY_STRATEGIES[name.split(" ")[0]] if who == "ours" else peer_strategy(name, split, strength)
            key = {**base, "rare": rare, "strategy": name, "who": who, "seed": seed}
            result = kept(key, lambda d=split, q=strategy, s=seed, i=initial: learn_once(d, q, strength, s, i))  # type: ignore[misc]
            by_strategy.setdefault(name if who == "ours" else f"scikit-activeml {name}", []).append(result)
            if seed == 0:
                print(f"{'10 %' if rare else 'balanced'} {who} {name}", flush=True)
    speed = kept(
        {**base, "speed": n_repeats, "without": [*without]},
        lambda: compare_speed(draw_split(embeddings, targets, False, 0), strength, n_repeats, without),
    )
    return {
        "command": " ".join(["python -m benchmarks.labels", *(["--without", *without] if without else [])]),
        "n_texts": len(targets),
        "n_held_out": N_HELD_OUT,
        "n_seeds": n_seeds,
        "n_peer_seeds": n_peer_seeds,
        "most_peer_seeds": {name: n for name, n in MOST_PEER_SEEDS.items() if name not in without},
        "inverse_regularization": strength,
        "sizes": query_sizes(*SIZES),
        **summary(runs, speed, query_sizes(*SIZES)),
    }


def _different(strategies: Mapping[str, Any]) -> list[str]:
    return [name for name in strategies if name not in ALIKE_FOR_TWO]


def main() -> None:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    parser = argparse.ArgumentParser(prog="python -m benchmarks.labels")
    parser.add_argument("--seeds", type=int, default=10, help="dealings of the texts for each strategy")
    parser.add_argument("--peer-seeds", type=int, default=10, help="the same for each of scikit-activeml's")
    parser.add_argument("--repeats", type=int, default=5, help="timed queries of each strategy, ours and the peer's")
    parser.add_argument("--without", nargs="+", default=[], choices=QUERY_STRATEGIES, help="strategies left out")
    parser.add_argument("--pool", type=int, default=0, help="instead, one query on a pool of this many texts")
    parser.add_argument("--into", type=Path, help="instead, a Markdown file whose block `labels` gets the tables")
    given = parser.parse_args()
    if given.into:
        write_block(given.into, "labels", markdown(read_json(REPORT)))
        return
    with threadpool_limits(1):
        if given.pool:
            path = REPORT.with_name("labels_pool.json")
            report = measure(read_embedded()[0], given.pool, SCRATCH)
            write_json(path, {"command": f"python -m benchmarks.labels --pool {given.pool}", **report})
            print(path)
            return
        report = compare(given.seeds, given.peer_seeds, given.repeats, given.without)
    write_json(REPORT, report)
    print(markdown(report))


if __name__ == "__main__":
    entry(main)
