"""The random sample of production that people are asked about: drawn, sent, and read back with their answers.

Its labels have a store of their own, `data/judging_labels`: they judge, and no stage trains on them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.labelling import steps as labelling
from flows.monitoring import steps as monitoring
from flows.monitoring.served import Served, served
from flows.reference import read_lexicon, read_patterns
from flows.runner.audit import record
from ratchet.errors import PipelineError
from ratchet.files import replace_file
from ratchet.monitoring.labelled_sample import EVERYTHING, STRATEGY

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

    from ratchet.labels.annotations import Item
    from ratchet.monitoring.settings import MonitorParams

DRAWS = Path("data/judging_draws.jsonl")
SOURCE = "production"
ASKED = ""
"""Key of the texts of all draws together."""
N_HOURS = 24
"""Hours of traffic before now that a draw looks at, as far back as the model answers."""
COLUMNS = [
    "timestamp",
    "request_id",
    "text",
    "predicted",
    "confidence",
    "model_version",
    "proba",
    "status",
    "arm",
    "key_id",
]


def read_draws(root: Path, version: str | None = None) -> list[dict[str, Any]]:
    """The draws, the oldest first; of one model, where one is named."""
    path = root / DRAWS
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    draws = [json.loads(line) for line in lines if line]
    return [item for item in draws if version in (None, item["model_version"])]


def drawn_ids(root: Path) -> set[str]:
    """Ids of all texts that were drawn for judging: no other choice may send them."""
    return {row["text_id"] for draw in read_draws(root) for row in draw["rows"]}


def known_labels(root: Path) -> dict[str, str]:
    """Text id → class, of the texts that people have decided for judging."""
    from ratchet.labels.resolution import current_decisions
    from ratchet.labels.store import read_store

    if not (root / labelling.JUDGING.pointer).is_file():
        return {}
    held = current_decisions(read_store(root / labelling.JUDGING.pointer, root / labelling.JUDGING.store).decisions)
    decided = held[held["state"] == "resolved"]
    return dict(zip(decided["id"].astype(str), decided["label"].astype(str), strict=True))


def ask(root: Path, n: int, slice_name: str, n_annotators: int, now: datetime) -> str:
    """Draw a random sample of the latest traffic and send it to people; returns a summary.

    Args:
        root: of the repository.
        n: texts; 0: as many as settle what the plan says is not settled.
        slice_name: `feature=slice` to draw from; empty: from everything, and with `n` 0 from each slice that needs it.
        n_annotators: people who are asked about each.
        now: the end of the traffic that is looked at.

    Raises:
        PipelineError: nothing was answered, or texts that were chosen before have not been sent.
        ParamsError: there is no such slice.
    """
    from ratchet.labels.queues import write_items
    from ratchet.monitoring.settings import read_monitor_params

    params, queue = read_monitor_params(root), labelling.open_queue(root, n_annotators)
    n_sent = labelling.send_outbox(root, queue)  # what an earlier call drew and could not send
    version, rows = _frame(root, params, now)
    model = served(root, version, params)
    wanted = {slice_name or EVERYTHING: n} if n else _wanted(root, model, params, slice_name)
    if not wanted:
        n_waiting = _waiting(read_draws(root, version), known_labels(root)).get(ASKED, 0)
        return f"{n_sent} texts sent; {n_waiting} wait for answers, and nothing more is needed for {version}"
    details: dict[str, Any] = {"table": "prediction_log", "n_rows": len(rows)}
    record(root, "personal_data", f"sample-{now.isoformat()}", details, "random sample to label")
    drawer = _Drawer(root, model, rows, params, {*queue.items(), *drawn_ids(root), *_trained_ids(root)}, now)
    items = [item for name, count in wanted.items() for item in drawer.draw(name, count)]
    write_items(root / labelling.OUTBOX, items)  # first: killed in between, these very texts are sent
    _append(root, drawer.draws)
    n_sent += labelling.send_outbox(root, queue)
    listed = ", ".join(f"{count} of {name}" for name, count in wanted.items())
    return f"{n_sent} texts sent to {queue.where}: {listed}"


class _Drawer:
    """Draws from one frame of traffic, each text once."""

    def __init__(
        self, root: Path, model: Served, rows: pyarrow.Table, params: MonitorParams, known: set[str], now: datetime
    ) -> None:
        import numpy as np

        from ratchet.data.cleaning import text_id
        from ratchet.monitoring.slices import production_groups
        from ratchet.monitoring.windows import proba_of

        fresh = np.array([text_id(text) not in known for text in rows.column("text").to_pylist()], dtype=bool)
        self.rows, self.model, self.now = rows.filter(fresh), model, now
        self.draws: list[dict[str, Any]] = []
        self._rng = np.random.default_rng([params.seed, int(now.timestamp())])
        self._taken: set[str] = set()
        self._proba = proba_of(self.rows, len(model.reference.labels))
        lexicon, patterns = read_lexicon(root, params.attributes), read_patterns(root)
        frame = self.rows.select(["text"]).to_pandas()
        self._groups = production_groups(
            frame, params.slices, params.length_edges, params.attributes, lexicon, patterns
        )

    def draw(self, name: str, n: int) -> list[Item]:
        """The items of a draw of `n` requests of a slice; its record is added to `draws`."""
        import numpy as np

        from ratchet.data.cleaning import text_id
        from ratchet.labels.annotations import Item
        from ratchet.monitoring.inspection import estimator_of
        from ratchet.monitoring.labelled_sample import draw_record

        inside = self._inside(name)
        texts = self.rows.column("text").to_pylist()
        free = np.array([row for row in inside if text_id(texts[row]) not in self._taken], dtype=np.int64)
        chosen = np.sort(self._rng.permutation(free)[:n])
        here = self.rows.take(inside.tolist())
        at = np.searchsorted(inside, chosen)
        groups = {feature: values[inside] for feature, values in self._groups.items()}
        reference = self.model.reference
        found = draw_record(here, self._proba[inside], groups, estimator_of(reference), reference.labels, at, name)
        times = self.rows.column("timestamp")
        frame = f"{times[0].as_py().isoformat()}/{times[len(times) - 1].as_py().isoformat()}"
        self.draws.append(
            {**found, "model_version": reference.version, "frame": frame, "drawn_at": self.now.isoformat()}
        )
        ids = [text_id(texts[row]) for row in chosen]
        self._taken |= {*ids}
        # no suggestion: people who see the model's answer agree with it more often
        why = f"random sample of production{'' if name == EVERYTHING else f', {name}'}"
        return [
            Item(name_, texts[row], SOURCE, why, bundle=reference.version, query_strategy=STRATEGY)
            for name_, row in zip(ids, chosen, strict=True)
        ]

    def _inside(self, name: str) -> NDArray[np.int64]:
        import numpy as np

        if name == EVERYTHING:
            return np.arange(len(self.rows))
        feature, _, value = name.partition("=")
        if feature not in self._groups or value not in {*self._groups[feature].tolist()}:
            known = sorted(f"{key}={item}" for key, values in self._groups.items() for item in set(values.tolist()))
            raise PipelineError("There is no such slice in the traffic.", got=name, expected=", ".join(known))
        return np.flatnonzero(self._groups[feature] == value)


def _frame(root: Path, params: MonitorParams, now: datetime) -> tuple[str, pyarrow.Table]:
    """The model that answers now, and its answers of the last hours, without what live.yaml excludes."""
    from ratchet.monitoring.exclusions import exclude
    from ratchet.monitoring.windows import answered, champions

    rows = monitoring.read_log_since(root, now - timedelta(hours=N_HOURS), columns=COLUMNS, until=now)
    versions = list(champions(rows))
    if not versions:
        raise PipelineError(
            "Nothing was answered lately that could be drawn.",
            where=root,
            expected=f"answered requests of the last {N_HOURS} hours in the prediction log",
        )
    kept = exclude(answered(rows, versions[-1]), params.exclude_keys, params.exclude_texts).rows
    return versions[-1], kept


def _wanted(root: Path, model: Served, params: MonitorParams, slice_name: str) -> dict[str, int]:
    """Slice → labels that settle it, of those that are not settled; everything first, which serves the slices, too."""
    from ratchet.monitoring.inspection import estimator_of
    from ratchet.monitoring.labelled_sample import labelled, plan

    draws = read_draws(root, model.reference.version)
    waiting = _waiting(draws, known := known_labels(root))
    accuracy = estimator_of(model.reference).accuracy
    if not draws:
        first = {EVERYTHING: {"n_more": params.n_to_label, "settled": False}}
        report: dict[str, dict[str, Any]] = first
    else:
        report = plan(labelled(draws, known), draws, accuracy, params.max_fall)
    wanted = {
        name: int(item["n_more"]) - waiting.get(name, 0)
        for name, item in report.items()
        if not item["settled"] and item["n_more"] and slice_name in ("", name)
    }
    if EVERYTHING in wanted and wanted[EVERYTHING] > 0 and not slice_name:
        return {EVERYTHING: wanted[EVERYTHING]}
    return {name: count for name, count in wanted.items() if count > 0}


def _waiting(draws: Sequence[dict[str, Any]], known: dict[str, str]) -> dict[str, int]:
    """Slice → texts that were sent and that nobody has decided yet; `ASKED` → all of them."""
    found: dict[str, int] = {}
    for draw in draws:
        for row in draw["rows"]:
            if row["text_id"] not in known:
                found[ASKED] = found.get(ASKED, 0) + 1
                for name in {EVERYTHING, *row["groups"]} if draw["slice"] == EVERYTHING else {draw["slice"]}:
                    found[name] = found.get(name, 0) + 1
    return found


def _trained_ids(root: Path) -> set[str]:
    """Ids of the texts that may be trained on: they judge nothing."""
    from ratchet.table_files import read_table
    from ratchet.tables import SPLIT

    path = root / labelling.SPLITS / "train.parquet"
    return {*read_table(path, SPLIT, ["id"])["id"].astype(str)} if path.is_file() else set()


def _append(root: Path, draws: Sequence[dict[str, Any]]) -> None:
    """Add records to the file, whole or not at all; a draw that is there already is not added again."""
    path = root / DRAWS
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = [json.dumps(item, sort_keys=True) + "\n" for item in draws]
    with replace_file(path) as partial:
        partial.write_text(before + "".join(line for line in lines if line not in before), encoding="utf-8")
