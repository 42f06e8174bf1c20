"""Choosing texts to label on any set: strategies against chance, by the probe and by the model that is trained at last.

    python -m benchmarks.label_choice --data FOLDER             the probe's curves: strategies × draws × sets
    python -m benchmarks.label_choice --data FOLDER --final     the fine-tuned model at 250 and 500 labels, too
    python -m benchmarks.label_choice --quick                   one draw of the films, two strategies; no report
    python -m benchmarks.label_choice --into docs/decisions/label-selection.md    the tables into a page

The films come from their package, other sets are the data files of a folder. All strategies of a draw start from the
same random labels. A cell that is there is not run again, so that the same command carries on where a run stopped.
Source: Settles 2009, Active learning literature survey, section 6, http://digital.library.wisc.edu/1793/60660.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.label_figures import holm, paired
from benchmarks.league.cells import packed, unpacked
from benchmarks.league.draws import sides
from benchmarks.league.environments import ROOT
from benchmarks.league.figures import N_BOOTSTRAP, SEED, over_draws
from benchmarks.league.sets import Labelled, folder_sets, packaged
from benchmarks.material import REPORTS, SCRATCH
from benchmarks.recipes.contenders import patience, tuned
from benchmarks.recipes.material import JUDGED, MAX_TEST, Material, params_for
from pipeline_steps import sample
from ratchet.data.sampling import smallest_hashes
from ratchet.embeddings.encoder import embed
from ratchet.entry import entry
from ratchet.files import read_json, sha256_json, write_json
from ratchet.labels.active_learning import Plan, learn, query_sizes
from ratchet.labels.label_efficiency import Curves, labels_to_reach
from ratchet.labels.query_strategies import QUERY_STRATEGIES
from ratchet.labels.selection_model import unit_length
from ratchet.measure.bootstrap import weights
from ratchet.measure.primary import DRAWS, PrimaryMetric, primary_metric
from ratchet.models.backbones import resolve_backbone
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.examples import Examples
from ratchet.params import load_params, read_yaml
from ratchet.reporting.marked_block import write_block

REPORT, CELLS = REPORTS / "label_choice.json", SCRATCH / "label_choice"
SIZES, FINAL = (50, 500, 9), (250, 500)
"""Labels at random first, labels in all, rounds; and the numbers of labels at which the last model is trained."""
N_DRAWS, N_FINAL_DRAWS = 10, 5
FINAL_STRATEGIES = ("random", "hybrid")
"""Those that the last model is trained for: chance, and what `sample` and `labels push` offer first."""
CHANCE = "random"


@dataclass(frozen=True)
class Parted:
    """A set with its pool and its test texts, embedded."""

    data: Labelled
    metric: PrimaryMetric
    texts: list[str]
    targets: NDArray[np.int64]
    vectors: NDArray[np.float32]
    """Of the pool, (n_pool, hidden), of unit length."""
    test_texts: list[str]
    test_targets: NDArray[np.int64]
    test_vectors: NDArray[np.float32]
    backbone: Path


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_choice", description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="a folder whose data files are sets beside the films")
    parser.add_argument("--sets", nargs="+", default=[], help="these sets alone")
    parser.add_argument("--draws", type=int, help=f"so many draws in place of {N_DRAWS}, and of {N_FINAL_DRAWS}")
    parser.add_argument("--final", action="store_true", help="train the last model too: a minute or two a cell")
    parser.add_argument("--quick", action="store_true", help="one draw of the films, two strategies")
    parser.add_argument("--into", type=Path, help="a Markdown file whose block `label-choice` gets the tables")
    given = parser.parse_args(arguments)
    if given.into:
        write_block(given.into, "label-choice", markdown(read_json(REPORT)))
        return
    found = [packaged("films")]
    found += [item for item in folder_sets(given.data) if isinstance(item, Labelled)] if given.data else []
    sets = [data for data in found if not given.sets or data.name in given.sets]
    if given.quick:
        for path in probe_cells(CELLS / "quick", sets[:1], [CHANCE, "margin"], 1, (50, 100, 2)):
            print(path.name)
        return
    for _ in probe_cells(CELLS / "probe", sets, [*QUERY_STRATEGIES], given.draws or N_DRAWS, SIZES):
        write_json(REPORT, summary())
    if given.final:
        for _ in final_cells(CELLS / "final", sets, given.draws or N_FINAL_DRAWS):
            write_json(REPORT, summary())
    write_json(REPORT, summary())
    print(markdown(read_json(REPORT)))


def parted(data: Labelled) -> Parted:
    """The set with its texts embedded by the demo's first backbone, once for all draws."""
    pool, test = sides(data)
    index = {name: at for at, name in enumerate(data.classes)}
    spec = read_yaml(ROOT / "examples" / "films" / "params.yaml")["task"]["backbones"][0]
    params = params_for(data, 0)
    backbone = resolve_backbone(spec["source"], spec["sha256"])

    def side(rows: Sequence[int]) -> tuple[list[str], NDArray[np.int64], NDArray[np.float32]]:
        texts = [data.texts[row] for row in rows]
        vectors = embed(backbone, texts, params.max_tokens, params.n_threads, params.batch_size)
        return texts, np.array([index[data.labels[row]] for row in rows], dtype=np.int64), unit_length(vectors)

    return Parted(data, primary_metric(data.metric, data.classes), *side(pool), *side(test), backbone)


def probe_cells(
    root: Path, sets: Sequence[Labelled], strategies: Sequence[str], n_draws: int, sizes: tuple[int, int, int]
) -> Iterator[Path]:
    """The probe's metric after each round, of each strategy, draw and set; gives the files of the cells that it ran."""
    strength = load_params(sample.Params, "sample", ROOT / "params.yaml").inverse_regularization
    for data in sets:
        of_set = cache(lambda data=data: parted(data))
        for number in range(n_draws):
            for name in strategies:
                path = root / data.name / str(number) / f"{name}.json"
                if path.is_file():
                    continue
                rows, scores = bought(of_set(), name, number, strength, sizes)
                print(f"{data.name}, draw {number}, {name}: {scores[-1]:.3f}", flush=True)
                cell = {"data": data.name, "metric": data.metric, "classes": data.classes, "draw": number}
                n_test = len(of_set().test_targets)
                write_json(path, {**cell, "strategy": name, "scores": scores, "rows": rows, "n_test": n_test})
                yield path


def bought(
    of: Parted, strategy: str, number: int, strength: float, sizes: tuple[int, int, int]
) -> tuple[list[int], list[float]]:
    """Rows of the pool in the order they were labelled in, and the probe's metric on the test after each round."""
    plan = Plan(QUERY_STRATEGIES[strategy], query_sizes(*sizes), strength)
    rows: list[int] = []
    scores = []
    rng = np.random.default_rng([number, 3])
    for new, model in learn(of.vectors, of.targets, len(of.data.classes), plan, rng):
        rows += new.tolist()
        scores.append(of.metric.value(of.test_targets, model(of.test_vectors)))
    return rows, scores


def final_cells(root: Path, sets: Sequence[Labelled], n_draws: int) -> Iterator[Path]:
    """The fine-tuned model of the labels that a strategy bought; gives the files of the cells that it ran."""
    for number in range(n_draws):
        for data in sets:
            of_set = cache(lambda data=data: parted(data))
            for n_labels in FINAL:
                for name in FINAL_STRATEGIES:
                    path = root / data.name / str(n_labels) / str(number) / f"{name}.json"
                    probed = CELLS / "probe" / data.name / str(number) / f"{name}.json"
                    if path.is_file() or not probed.is_file():
                        continue
                    material = of_labels(of_set(), read_json(probed)["rows"][:n_labels], number)
                    proba = tuned(material, "full", patience=patience(material))
                    value = material.metric.value(material.test.hard, proba)
                    print(f"{data.name}, {n_labels} labels, draw {number}, {name}: {value:.3f}", flush=True)
                    predicted, true = packed(proba.argmax(axis=1)), packed(material.test.hard)
                    cell = {"data": data.name, "metric": data.metric, "classes": data.classes, "draw": number}
                    cell |= {"strategy": name, "n_labels": n_labels}
                    write_json(path, {**cell, "predicted": predicted, "true": true})
                    yield path


def of_labels(of: Parted, rows: Sequence[int], number: int) -> Material:
    """What the last model learns from: the rows that were bought, and validation texts at random on top."""
    params = params_for(of.data, number)
    tokenizer = load_tokenizer(of.backbone, params.max_tokens)
    others = np.setdiff1d(np.arange(len(of.texts)), rows)
    held = np.random.default_rng([number, 4]).permutation(others)[: round(JUDGED * len(rows))]
    names = [str(target) for target in of.test_targets]
    tested = smallest_hashes([str(row) for row in range(len(names))], names, "tested", MAX_TEST)

    def examples(texts: list[str], targets: NDArray[np.int64]) -> Examples:
        return Examples(encode(tokenizer, texts), targets)

    texts = [of.texts[row] for row in rows]
    test_texts = [of.test_texts[row] for row in tested]
    return Material(
        of.data,
        params,
        of.backbone,
        texts,
        examples(texts, of.targets[[*rows]]),
        examples([of.texts[row] for row in held], of.targets[held]),
        test_texts,
        examples(test_texts, of.test_targets[[*tested]]),
        [],
    )


def summary() -> dict[str, Any]:
    """The figures of the cells that are there."""
    probes = [read_json(path) for path in sorted((CELLS / "probe").glob("*/*/*.json"))]
    finals = [read_json(path) for path in sorted((CELLS / "final").glob("*/*/*/*.json"))]
    names = sorted({cell["data"] for cell in probes})
    return {
        "command": "python -m benchmarks.label_choice --data FOLDER --final",
        "n_labels": np.cumsum(query_sizes(*SIZES)).tolist(),
        "sets": {
            name: _probed([c for c in probes if c["data"] == name])
            | {"final": _trained([c for c in finals if c["data"] == name])}
            for name in names
        },
        "sha256": sha256_json([[cell["data"], cell["draw"], cell["strategy"]] for cell in probes])[:12],
    }


def _probed(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Each strategy on the draws that it has in common with chance: gain over the curve, labels for chance's 500."""
    first = cells[0]
    metric = primary_metric(first["metric"], first["classes"])
    scores = {(cell["strategy"], cell["draw"]): cell["scores"] for cell in cells}
    chance = {draw for name, draw in scores if name == CHANCE}
    n_labels = np.cumsum(query_sizes(*SIZES)).tolist()
    tests, rows = {}, {}
    for name in sorted({cell["strategy"] for cell in cells}):
        draws = sorted(chance & {draw for other, draw in scores if other == name})
        if len(draws) < 2:
            continue
        own, by_chance = (np.array([scores[strategy, draw] for draw in draws]) for strategy in (name, CHANCE))
        reached = labels_to_reach(Curves(n_labels, {CHANCE: by_chance, name: own}, metric), 0)[name]
        rows[name] = {"n_draws": len(draws), "at_the_end": float(own[:, -1].mean()), "labels": reached.to_json()}
        if name != CHANCE:
            sign = 1.0 if metric.greater_is_better else -1.0
            gain, p = paired(sign * own.mean(axis=1), sign * by_chance.mean(axis=1))
            rows[name] |= {"gain": gain.to_json()}
            tests[name] = p
    for name, p in zip(tests, holm([*tests.values()]), strict=True):
        rows[name]["p_holm"] = p
    imbalance = {"n_classes": len(first["classes"]), "n_test": first["n_test"], "metric": metric.name}
    return {**imbalance, "strategies": rows}


def _trained(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """The last model's gain of a strategy over chance, by number of labels: interval over draws and test texts."""
    found: dict[str, Any] = {}
    for n_labels in sorted({cell["n_labels"] for cell in cells}):
        of_size = {(c["strategy"], c["draw"]): c for c in cells if c["n_labels"] == n_labels}
        draws = sorted({d for s, d in of_size if s == CHANCE} & {d for s, d in of_size if s == FINAL_STRATEGIES[1]})
        if not draws:
            continue
        first = of_size[CHANCE, draws[0]]
        metric, y_true = primary_metric(first["metric"], first["classes"]), unpacked(first["true"])
        w, one = weights(len(y_true), N_BOOTSTRAP, np.random.default_rng(SEED)), np.eye(len(first["classes"]))
        values, resampled = [], []
        for draw in draws:
            own, chance = (one[unpacked(of_size[name, draw]["predicted"])] for name in FINAL_STRATEGIES[::-1])
            values.append(metric.value(y_true, own) - metric.value(y_true, chance))
            of = DRAWS[metric.name]
            resampled.append(of(metric, y_true, own, w) - of(metric, y_true, chance, w))
        gain = over_draws(np.array(values), np.array(resampled))[0]
        found[str(n_labels)] = {"n_draws": len(draws), "strategy": FINAL_STRATEGIES[1], "gain": gain.to_json()}
    return found


def markdown(report: dict[str, Any]) -> str:
    """A table a set, and a line for the last model."""
    lines: list[str] = []
    for name, block in report["sets"].items():
        last = report["n_labels"][-1]
        head = f"**{name}**, {block['n_classes']} classes, {block['metric'].replace('_', ' ')} of the probe"
        lines += [f"{head} on {block['n_test']:,} test texts:", ""]
        heads = ["strategy", "draws", f"at {last} labels", "gain over the curve, points", "p (Holm)"]
        lines.append(f"| {' | '.join([*heads, f'labels for the {last} of chance'])} |")
        lines += ["|---|---:|---:|---:|---:|---:|"]
        for strategy, row in block["strategies"].items():
            gain = _points(row["gain"]) if "gain" in row else ""
            p = f"{row['p_holm']:.3f}" if "p_holm" in row else ""
            labels = row["labels"]
            needs = "not reached"
            if labels["value"] is not None and labels["value"] == labels["value"]:
                needs = f"{labels['value']:.0f} [{labels['low']:.0f}, {labels['high']:.0f}]"
            lines.append(f"| {strategy} | {row['n_draws']} | {row['at_the_end']:.3f} | {gain} | {p} | {needs} |")
        for n_labels, row in block["final"].items():
            told = f"Fine-tuned on {n_labels} labels, {row['strategy']} against chance, draws: {row['n_draws']}"
            lines += ["", f"{told}: {_points(row['gain'])} points."]
        lines.append("")
    return "\n".join(lines)


def _points(item: dict[str, Any]) -> str:
    return f"{100 * item['value']:+.1f} [{100 * item['low']:+.1f}, {100 * item['high']:+.1f}]"


if __name__ == "__main__":
    entry(main)
