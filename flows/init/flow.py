"""From a source to a configured task: look, plan, write. Nothing is written before all of it is decided and checked."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flows.checks import checklist
from flows.checks.project import PARAMS, PIPELINE, RECORD, Project
from flows.checks.run_time import corpus_json
from flows.init import task_state
from flows.init.concepts import concept_files
from flows.init.plan import TaskPlan
from flows.init.sizes import fit_sizes
from flows.init.sources import SAMPLE_ROWS, Place, column_names, count_labels, read_rows
from flows.init.suites import suite_files
from flows.init.task_files import BASE, load, task_files
from flows.init.writing import replace_all, undo_unfinished
from ratchet.data.survey.columns import label_candidates, profile_columns, text_candidates
from ratchet.data.survey.several import listed_labels, several_labels
from ratchet.data.survey.survey import Survey, survey
from ratchet.errors import ParamsError, PipelineError, SourceError
from ratchet.files import read_json
from ratchet.measure.stage_costs import Corpus
from ratchet.measure.time_plan import Plan
from ratchet.params import Params, read_params, read_yaml

MERGED = ("live.yaml", "policy.yaml")
"""Files of which a task sets a few values: the others stay as they are in the root."""
TASK_FOLDERS = ("data/behaviour", "data/challenge", "data/concepts", "data/lexicons", "data/suites")
LINKED = ("ratchet", "pipeline_steps", "flows", "dvc.yaml", "constraints.txt", "data/forgotten.json", "reports/bench")
EXAMPLES = Path("examples")
ANSWERS = "init.yaml"


class Answers(Params):
    """What an example answers; all else is proposed."""

    source: str
    """The source, relative to the root."""
    text: str
    """Column with the texts."""
    label: str
    """Column with the labels."""
    selected: list[str]
    """Classes that count as being selected."""
    minutes: int
    """Minutes that a run may take."""


@dataclass(frozen=True)
class Sample:
    """The first rows of a source, and what its columns can be."""

    place: Place
    frame: Any
    """All columns as strings, (n_rows, n_columns)."""
    texts: list[str]
    """Columns that can be the text, the most likely first."""

    def labels(self, text: str) -> list[str]:
        """Columns that can be the label, the most likely first."""
        return label_candidates(profile_columns(self.frame), text)


@dataclass(frozen=True)
class Change:
    """What a run of init would do to the repository."""

    written: dict[str, bytes]
    copied: dict[str, Path] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Files that somebody edited and that stay as they are."""
    reset: list[task_state.State] = field(default_factory=list)
    n_experiments: int = 0


def read_sample(place: Place) -> Sample:
    """The first rows of the source.

    Raises:
        SourceError: it cannot be read, or no column can be the text.
    """
    frame = read_rows(place, column_names(place), SAMPLE_ROWS)
    texts = text_candidates(profile_columns(frame))
    if not texts:
        raise SourceError(
            "No column holds texts.",
            where=place.now.get("path", place.name),
            got=", ".join(map(str, frame.columns)),
            expected="a column of texts, one a row",
            fix="name it with --text",
        )
    return Sample(place, frame, texts)


def look(sample: Sample, text: str, label: str) -> Survey:
    """What the sample shows of the task.

    Raises:
        SourceError: a column is none of the source's, or rows have several labels.
    """
    for flag, name in (("--text", text), ("--label", label)):
        if name not in sample.frame.columns:
            raise SourceError(
                f"The source has no column '{name}'." if name else "No column looks like the label.",
                where=sample.place.now.get("path", sample.place.name),
                got=", ".join(map(str, sample.frame.columns)),
                expected="a column of a few values that repeat" if flag == "--label" else "a column of texts",
                fix=f"name one with {flag}",
            )
    _require_single_labels(sample, label)
    found = survey(sample.frame, text, label)
    if len(sample.frame) < SAMPLE_ROWS:
        return found
    # beyond the sample only the labels are read: a class that comes late is a class all the same
    n_rows, values = count_labels(sample.place, label)
    return replace(found, n_rows=n_rows, values=values, n_unlabelled=n_rows - sum(values.values()))


def prepare(root: Path, sample: Sample, found: Survey, plan: TaskPlan) -> tuple[dict[str, bytes], Plan | None]:
    """Path → content of every file of the task, checked as `ratchet check` does before a run; and its sizes.

    Raises:
        ParamsError: what would be written does not hold.
    """
    base = load(root / BASE / "params.yaml")
    suites = suite_files(plan, sample.frame, base["task"]["near_duplicate_threshold"])
    texts = [text for text in sample.frame[plan.text].tolist() if isinstance(text, str)]
    sizes = fit_sizes(root, base, plan, texts)
    files = task_files(root, base, plan, sample.place, sizes.params if sizes else {}, suites)
    files |= concept_files(sample.frame, plan)
    with tempfile.TemporaryDirectory(prefix="ratchet-init-") as folder:
        # as many folders deep as the source lies above the root, so that what is linked there lies within
        trial = Path(folder, *["above"] * Path(sample.place.watch).parts.count(".."), "trial")
        _lay_out(root, trial, files, sample.place)
        before = list(sys.path)
        try:
            errors = [item for item in checklist.find(trial) if item.severity == "error"]
        finally:
            sys.path[:] = before
    if errors:
        raise ParamsError(f"The task would not hold; nothing was written.\n\n{checklist.listing(errors)}")
    return files, sizes


def change_of(
    root: Path,
    files: Mapping[str, bytes],
    copied: Mapping[str, Path],
    origin: Any,
    force: bool,
    corpus: Corpus | None = None,
) -> Change:
    """What has to happen for the task of `files` to be the repository's.

    Of the same source the state stays, and so does every file that somebody edited. Of another one everything that
    belongs to the task before goes.

    Args:
        root: the repository.
        files: path → content of the new task's files.
        copied: path → file that is copied there.
        origin: what the task is made of; equal: the same task.
        force: whether people's labels and edits may go.
        corpus: how large the source is; None: it was not counted.

    Raises:
        PipelineError: people's labels or edits would be lost.
    """
    undo_unfinished(root)
    record = _read_record(root)
    committed = task_state.committed_files(root) if record["origin"] is None and _is_an_example(root) else set()
    edited = [
        path
        for path in _task_paths(root)
        if path not in MERGED and path not in committed and _is_edited(root, path, record["files"])
    ]
    if record["origin"] == origin:
        written = {path: content for path, content in files.items() if path not in edited}
        gone = [path for path in record["files"] if path not in files and path not in edited]
        return Change(_recorded(written, record, origin, corpus), dict(copied), gone, edited)
    if not force:
        _require_nothing_lost(root, edited)
    reset = task_state.state_of(root, Project(root, {}, read_yaml(root / PIPELINE)["stages"]))
    written = {**{item.path: item.becomes.encode() for item in reset if item.becomes}, **files}
    removed = [item.path for item in reset if not item.becomes]
    gone = [path for path in _task_paths(root) if path not in files and path not in MERGED and path != "params.yaml"]
    saved = {f"{SAVED}/{path}": (root / path).read_bytes() for path in edited}
    blank: dict[str, Any] = {"origin": None, "files": {}}
    return Change(
        {**_recorded(written, blank, origin, corpus), **saved},
        dict(copied),
        [*removed, *gone],
        reset=reset,
        n_experiments=len(task_state.experiments(root)),
    )


SAVED = ".ratchet/before-init"
"""Where edited files go when `--force` replaces them."""


def commit(root: Path, change: Change) -> None:
    """Write it, whole or not at all."""
    replace_all(root, change.written, change.copied, change.removed)
    if change.n_experiments:
        task_state.forget_experiments(root)


def example_files(root: Path, name: str) -> dict[str, bytes]:
    """Path → content of an example's files, as they stand in examples/NAME; empty: it is a source with answers.

    Raises:
        ParamsError: there is no such example.
    """
    known = sorted(
        {path.parent.name for kind in ("params", "init") for path in (root / EXAMPLES).glob(f"*/{kind}.yaml")}
    )
    if name not in known:
        raise ParamsError("There is no such example.", where="--example", got=name, expected=", ".join(known))
    folder = root / EXAMPLES / name
    if (folder / ANSWERS).is_file():
        return {}
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".md"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def example_answers(root: Path, name: str) -> Answers:
    """The source and the answers of an example that is no more than these."""
    return read_params(Answers, root / EXAMPLES / name / ANSWERS)


def _require_single_labels(sample: Sample, label: str) -> None:
    values = [value for value in sample.frame[label].tolist() if isinstance(value, str) and value.strip()]
    several = several_labels(values)
    if not several and not listed_labels(values):
        return
    n = sum(value in {*several} for value in values)
    raise SourceError(
        "Rows have several labels, and a task gives each text one class." if several else "Each label is a list.",
        where=f"column '{label}'",
        got=f"{n:,} of {len(values):,} labelled rows, such as {(several or values)[0]!r}",
        expected="one class a row",
        fix="write a column with one of them, such as the first or the one that matters most; or keep the rows with "
        "exactly one; or make a task of each class, yes or no, and run init on each column",
    )


def _lay_out(root: Path, trial: Path, files: Mapping[str, bytes], place: Place) -> None:
    """A repository to check: the files as they would be, the code and the source as they are."""
    for path, content in files.items():
        (trial / path).parent.mkdir(parents=True, exist_ok=True)
        (trial / path).write_bytes(content)
    for name in LINKED:
        (trial / name).parent.mkdir(parents=True, exist_ok=True)
        (trial / name).symlink_to(root / name)
    for item in task_state.STATE:
        if item.becomes:
            (trial / item.path).parent.mkdir(parents=True, exist_ok=True)
            (trial / item.path).write_text(item.becomes, encoding="utf-8")
    for path, source in place.copies.items():
        (trial / path).parent.mkdir(parents=True, exist_ok=True)
        (trial / path).symlink_to(source.resolve())
    watched = Path(place.watch)
    if not place.copies and not watched.is_absolute() and (root / watched).exists():
        (trial / watched).parent.mkdir(parents=True, exist_ok=True)
        if not (trial / watched).exists():
            (trial / watched).symlink_to((root / watched).resolve())


def _task_paths(root: Path) -> list[str]:
    """The files of the task that the repository has now."""
    found = [path for folder in TASK_FOLDERS for path in sorted((root / folder).rglob("*")) if path.is_file()]
    return ["params.yaml", *MERGED, *(path.relative_to(root).as_posix() for path in found)]


def _is_edited(root: Path, path: str, hashes: Mapping[str, str]) -> bool:
    """Whether a file is neither what init wrote nor an example's."""
    if not (root / path).is_file():
        return False
    content = (root / path).read_bytes()
    if _sha256(content) == hashes.get(path):
        return False
    return all(not item.is_file() or item.read_bytes() != content for item in (root / EXAMPLES).glob(f"*/{path}"))


def _read_record(root: Path) -> dict[str, Any]:
    """What init wrote last; of no origin where Git or somebody has put an example's params.yaml back since."""
    record = read_json(root / RECORD) if (root / RECORD).is_file() else {"origin": None, "files": {}}
    written = record["files"].get(PARAMS, "")
    stands = (root / PARAMS).is_file() and _sha256((root / PARAMS).read_bytes()) == written
    put_back = not stands and not _is_edited(root, PARAMS, {})
    return {**record, "origin": None} if put_back else record


def _is_an_example(root: Path) -> bool:
    """Whether the task is an example's, by its source: then what is committed is the example's, too."""
    sources = [read_yaml(path)["ingest"]["source"] for path in (root / EXAMPLES).glob("*/params.yaml")]
    return (root / "params.yaml").is_file() and read_yaml(root / "params.yaml")["ingest"]["source"] in sources


def _require_nothing_lost(root: Path, edited: list[str]) -> None:
    n = task_state.n_labels(root)
    if not n and not edited:
        return
    raise PipelineError(
        "What people made of the task before would be lost.",
        where=root,
        got="; ".join(
            filter(None, [f"{n:,} labels by people" if n else "", f"edited: {', '.join(edited)}" if edited else ""])
        ),
        expected="a task that nobody has worked on",
        fix=f"use another clone; or --force: edited files are kept in {SAVED}, and the labels in data/labels",
    )


def _recorded(
    written: Mapping[str, bytes], record: Mapping[str, Any], origin: Any, corpus: Corpus | None
) -> dict[str, bytes]:
    """What is written, and the record of it."""
    files = {**record["files"], **{path: _sha256(content) for path, content in written.items()}}
    hashes = {path: value for path, value in sorted(files.items()) if path not in {s.path for s in task_state.STATE}}
    counted = {} if corpus is None else {"corpus": corpus_json(corpus)}
    text = json.dumps({"origin": origin, "files": hashes, **counted}, indent=1, sort_keys=True, ensure_ascii=False)
    return {**written, RECORD: f"{text}\n".encode()}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
