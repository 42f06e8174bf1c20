"""Loaders of outside bytes, each as a function of bytes: it returns, or raises one of the errors that it declares.

Nothing else may come of any input: no other exception, no more than `MAX_CPU_S` of processor time, no more than
`MAX_MB` of memory. Imports are inside, so that the child instruments what it runs and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_CPU_S = 5.0
MAX_MB = 1024
MAX_BYTES = 8192
"""Of one input."""
SCRATCH = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path(tempfile.gettempdir())


@dataclass(frozen=True)
class Target:
    """A loader, the inputs that it is begun with, and the kind of its inputs."""

    prepare: Callable[[Path], tuple[Callable[[bytes], object], tuple[type[BaseException], ...]]]
    """Given an empty folder, the loader and the errors that are its answer."""
    seeds: list[bytes] = field(default_factory=list)
    is_json: bool = False
    """Whether inputs are mutated as JSON trees, too."""
    dictionary: tuple[str, ...] = ()
    """Words that matter to the loader."""


def _errors() -> tuple[type[BaseException], ...]:
    from ratchet.errors import RatchetError

    return (RatchetError,)


def _csv_source(folder: Path) -> Any:
    from ratchet.data.sources.dialect import CSV
    from ratchet.data.sources.formats import read_file
    from ratchet.data.sources.reading import Labels, Reading

    path = folder / "a.csv"
    variants = [
        {},
        {"escape": "backslash"},
        {"delimiter": "\t", "quote": "", "escape": "none"},
        {"delimiter": ";", "encoding": "cp1252"},
        {"encoding": "utf-16"},
        {"unnamed": "join"},
    ]
    dialects = []
    for changes in variants:
        dialects.append(type(CSV).model_validate({**CSV.model_dump(), **changes}))

    def load(data: bytes) -> None:
        which, content = data[:1] or b"\0", data[1:]
        path.write_bytes(content)
        labels = Labels("label", frozenset(["0", "1"])) if which[0] & 64 else None
        reading = Reading(3 if which[0] & 128 else 0, labels)
        for _ in read_file(path, dialects[which[0] % len(dialects)], ["text", "label"], reading):
            pass

    return load, _errors()


def _jsonl_source(folder: Path) -> Any:
    from ratchet.data.sources.dialect import JsonlDialect
    from ratchet.data.sources.formats import read_file
    from ratchet.data.sources.reading import Reading

    dialect = JsonlDialect.model_validate({"format": "jsonl", "compression": "none", "encoding": "utf-8"})
    path = folder / "a.jsonl"

    def load(data: bytes) -> None:
        path.write_bytes(data)
        for _ in read_file(path, dialect, ["text", "label"], Reading(2, None)):
            pass

    return load, _errors()


def _parquet_source(folder: Path) -> Any:
    from ratchet.data.sources.dialect import ParquetDialect
    from ratchet.data.sources.formats import read_file
    from ratchet.data.sources.reading import Reading

    path = folder / "a.parquet"

    def load(data: bytes) -> None:
        path.write_bytes(data)
        for _ in read_file(path, ParquetDialect(format="parquet"), ["text", "label"], Reading(0, None)):
            pass

    return load, _errors()


def _detection(folder: Path) -> Any:
    from ratchet.data.sources.detection import detect_dialect

    names = [folder / name for name in ("a.csv", "a.tsv", "a.txt", "a.jsonl", "a.csv.gz")]

    def load(data: bytes) -> None:
        path = names[(data[:1] or b"\0")[0] % len(names)]
        path.write_bytes(data[1:])
        detect_dialect(path)

    return load, _errors()


def _queue(folder: Path) -> Any:
    from ratchet.labels.queues import read_answers, read_items

    path = folder / "queue-1.jsonl"

    def load(data: bytes) -> None:
        path.write_bytes(data)
        known = {}
        with contextlib.suppress(*_errors()):
            known = {item.id: item for item in read_items(path)}
        read_answers(path, known)

    return load, _errors()


def _sheet(folder: Path) -> Any:
    from ratchet.labels.queues import read_answers

    names = [folder / name for name in ("a.csv", "a.tsv", "a.txt")]

    def load(data: bytes) -> None:
        path = names[(data[:1] or b"\0")[0] % len(names)]
        path.write_bytes(data[1:])
        read_answers(path, {})

    return load, _errors()


def _workbook(folder: Path) -> Any:
    from ratchet.labels.queues import read_answers

    names = [folder / name for name in ("a.xlsx", "a.ods", "a.xls", "a.xlsb")]

    def load(data: bytes) -> None:
        path = names[(data[:1] or b"\0")[0] % len(names)]
        path.write_bytes(data[1:])
        read_answers(path, {})

    return load, _errors()


def _label_studio(folder: Path) -> Any:
    import httpx

    from ratchet.labels.label_studio import LabelStudioQueue

    projects = json.dumps({"results": [{"id": 1, "title": "Ratchet", "label_config": "<View/>"}], "count": 1}).encode()
    statuses = (200, 200, 200, 200, 204, 301, 401, 404, 500)

    def load(data: bytes) -> None:
        which, body = (data[:1] or b"\0")[0], data[1:]
        asked = 0

        def answer(request: httpx.Request) -> httpx.Response:
            nonlocal asked
            asked += 1
            if which < 128 and request.url.path == "/api/projects":
                return httpx.Response(200, content=projects)
            return httpx.Response(statuses[which % len(statuses)], content=body, headers={"Location": "/login?x"})

        queue = LabelStudioQueue("http://a", "t", "Ratchet", ["a", "b"], 2, httpx.MockTransport(answer))
        for call in (queue.items, queue.answers):
            with contextlib.suppress(*_errors()):
                call()
            if asked > 1000:
                raise AssertionError("the queue asks for ever")

    return load, _errors()


def _manifest(folder: Path) -> Any:
    from ratchet.models.bundle import MANIFEST, read_manifest

    (folder / "weights.bin").write_bytes(b"x")

    def load(data: bytes) -> None:
        (folder / MANIFEST).write_bytes(data)
        read_manifest(folder)

    return load, _errors()


def _params(folder: Path) -> Any:
    from ratchet.params import check_params, read_yaml
    from ratchet.task import Task

    path = folder / "params.yaml"

    def load(data: bytes) -> None:
        path.write_bytes(data)
        check_params(Task, "task", read_yaml(path).get("task"), path)

    return load, _errors()


def _live(folder: Path) -> Any:
    from ratchet.experiments.rollout import RolloutParams
    from ratchet.monitoring.settings import MonitorParams
    from ratchet.params import load_params
    from ratchet.serving.settings import LogParams, ServeParams

    path = folder / "live.yaml"
    blocks: dict[str, Any] = {"log": LogParams, "serve": ServeParams}
    blocks |= {"monitor": MonitorParams, "rollout": RolloutParams}

    def load(data: bytes) -> None:
        path.write_bytes(data)
        for name, model in blocks.items():
            with contextlib.suppress(*_errors()):
                load_params(model, name, path)

    return load, _errors()


def _suite(folder: Path) -> Any:
    from ratchet.data.rules.suites import read_suite, suite_with_faults

    path = folder / "corpus.json"

    def load(data: bytes) -> None:
        path.write_bytes(data)
        suite_with_faults(path, {"classes": ["a", "b"]})
        read_suite(path, {"classes": ["a", "b"]})

    return load, _errors()


def _policy(folder: Path) -> Any:
    from ratchet.registry.policy import read_policy

    return read_policy, _errors()


def _audit_log(folder: Path) -> Any:
    from ratchet.registry.audit_log import append, entries

    path = folder / "audit.jsonl"

    def load(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(*_errors()):
            append(path, who="a", action="run", subject="s")
        entries(path)

    return load, _errors()


def _statement(folder: Path) -> Any:
    from ratchet.registry import statements
    from ratchet.registry.names import parse_role, parse_version

    def load(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        parse_version(text[:100])
        parse_role(text[:100])
        statements._parse(data, "sentiment@v1.0.0")

    return load, _errors()


def _model_signature(folder: Path) -> Any:
    from ratchet.registry.model_signature import signed_digests

    return (lambda data: signed_digests(data, [])), _errors()


def _pointer(folder: Path) -> Any:
    from ratchet.labels.store import read_store

    path = folder / "labels.json"

    def load(data: bytes) -> None:
        path.write_bytes(data)
        read_store(path, folder)

    return load, _errors()


def _tombstones(folder: Path) -> Any:
    from ratchet.data.forgotten import read_tombstones

    path = folder / "forgotten.json"

    def load(data: bytes) -> None:
        path.write_bytes(data)
        read_tombstones(path)

    return load, _errors()


def _keys(folder: Path) -> Any:
    from ratchet.experiments.assignment import read_experiment
    from ratchet.serving.auth import read_keys

    keys, experiment = folder / "keys.json", folder / "experiment.json"

    def load(data: bytes) -> None:
        for path, read in ((keys, read_keys), (experiment, read_experiment)):
            path.write_bytes(data)
            with contextlib.suppress(*_errors()):
                read(path)

    return load, _errors()


def _request(folder: Path) -> Any:
    import pydantic

    from ratchet.serving.open_inference import BadInputError, read_request
    from ratchet.serving.schemas import ExplainRequest, FeedbackRequest, PredictRequest

    def load(data: bytes) -> None:
        length = str((data[:1] or b"\0")[0] % 200)
        for header in (None, length, "-1", "x"):
            with contextlib.suppress(BadInputError):
                read_request(data[1:], header, 64)
        for schema in (PredictRequest, ExplainRequest, FeedbackRequest):
            with contextlib.suppress(pydantic.ValidationError):
                schema.model_validate_json(data[1:])

    return load, ()


def _text(folder: Path) -> Any:
    from ratchet.data.cleaning import REPAIRS, clean, text_id
    from ratchet.data.cleaning_params import Cleaning
    from ratchet.data.words import words

    cleaning = Cleaning.model_validate({"repairs": list(REPAIRS), "mask": True, "regions": ["US"]})

    def load(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        made = clean([text], cleaning).texts[0]
        text_id(made)
        words(made)

    return load, ()


JSON_TASK = b"task: {kind: single_label, classes: [{name: a, values: [0]}, {name: b, values: ['x', 1.5, true]}]}\n"
TASK_YAML = b"serve: &a {port: 8000, host: 1e-4}\nlog: *a\n"
PREDICT = b'\x20{"texts": ["good", "bad"], "unit": "u1"}'
V2 = (
    b'\x21{"inputs":[{"name":"text","datatype":"BYTES","shape":[1],"data":["half \\ud83d"]}],'
    b'"outputs":[{"name":"label"}]}'
)
SUITE = b"""{"name": "corpus", "expectations": [{"type": "expect_column_value_lengths_to_be_between",
"kwargs": {"column": "text", "min_value": 1, "max_value": 10}, "meta": {"severity": "error"}}], "meta": {}}"""
ITEM = (
    b'{"id": "00000000000000aa", "text": "a\xe2\x80\xa8b", "source": "s", "label": "x", "confidence": 0.5, '
    b'"query_score": null, "reason": "", "suggested": "", "bundle": "", "query_strategy": "margin", '
    b'"annotated_at": "2026-01-01T00:00:00Z", "lead_time_s": "1,5"}\n'
)
TASKS = (
    b'\x01{"tasks": [{"id": 1, "data": {"id": "x", "text": "t", "confidence": 0.1}}], "total": 1}',
    b'\x01[{"id": 1, "data": {"text": "t"}, "annotations": [{"id": 3, "completed_by": {"id": 1, "email": "a@b"}, '
    b'"result": [{"from_name": "label", "value": {"choices": ["a"]}}], "updated_at": "2026-01-01T00:00:00Z", '
    b'"lead_time": 3.5, "was_cancelled": false}]}]',
    b"\x85<!doctype html><html>login</html>",
)
BUNDLE = (
    b'{"name": "a", "kind": "tfidf", "precision": "fp32", "labels": ["a", "b"], "max_tokens": 0, "parent": "", '
    b'"params_sha256": "", "data_sha256": "", "versions": {}, "files": {"weights.bin": "2d711642"}}'
)
POINTER = (
    b'{"batches": [{"table": "annotations", "file": "annotations-0123456789abcdef.parquet", "sha256": "'
    + b"0" * 64
    + b'", "n_rows": 1}], "class_changes": [{"change": "rename", "old": ["a"], "new": ["b"], "n_batches": 1}]}'
)
KEYS = b'{"keys": [{"id": "k1", "hash": "x", "scopes": ["predict"], "expires": "2026-01-01T00:00:00Z"}]}'
AUDIT = (
    b'{"action":"run","details":{},"n":1,"previous":"' + b"0" * 64 + b'","sha256":"' + b"0" * 64 + b'","subject":"s",'
    b'"time":"2026-01-01T00:00:00.000000Z","who":"a","why":""}\n'
)
TAG = b"object 0123\ntype commit\ntag sentiment@v1.0.0\ntagger A <a@b> 1700000000 +0000\n\nrelease\n\n{}\n"

TARGETS: dict[str, Target] = {
    "source: CSV": Target(
        _csv_source,
        [
            b'\x00text,label\n"a ""b"", c",1\nd,0\n',
            b"\x02text\tlabel\na\t1\n",
            b"\xc1text,label\n\xff\xfe,1\n,,\n",
        ],
        dictionary=("text", "label", '""', ',"', '",', "\\r\\n", "\\x00"),
    ),
    "source: JSONL": Target(_jsonl_source, [b'{"text": "a", "label": 1}\n{"text": ["x"], "label": null}\n'], True),
    "source: Parquet": Target(_parquet_source, dictionary=("PAR1",)),
    "source: dialect": Target(
        _detection, [b"\x00a;b\n1;2\n", b'\x03{"a": 1}\n', b"\x01\xff\xfea\x00\t\x00b\x00\n\x00"]
    ),
    "queue file": Target(_queue, [ITEM], True),
    "sheet: text": Target(
        _sheet,
        [b"\x00id;text;label\r\n1;a;b\r\n", b"\x00\xff\xfet\x00,\x00", b'\x00sep=,\nlabel,text\nx,"a\nb"\n'],
        dictionary=("label", "text", "id", "lead_time_s", "annotated_at", "sep=", "annotator"),
    ),
    "sheet: workbook": Target(_workbook, dictionary=("PK", "xl/workbook.xml", "mimetype")),
    "Label Studio's answers": Target(_label_studio, list(TASKS), True),
    "bundle manifest": Target(_manifest, [BUNDLE], True),
    "params.yaml": Target(_params, [JSON_TASK], dictionary=("task", "classes", "name", "&a", "*a", "<<", "!!")),
    "live.yaml": Target(_live, [TASK_YAML], dictionary=("serve", "log", "monitor", "rollout", "&a", "*a", "<<")),
    "suite": Target(_suite, [SUITE], True),
    "policy.yaml": Target(_policy, [b"rights: {}\npaths: {data: data}\n"]),
    "audit log": Target(_audit_log, [AUDIT], True),
    "registry statement": Target(_statement, [TAG], dictionary=("object ", "tagger ", "sentiment@v1.0.0", "role/")),
    "model signature": Target(_model_signature, [b'{"payload": "e30=", "payloadType": "t", "signatures": []}'], True),
    "label store pointer": Target(_pointer, [POINTER], True),
    "tombstones": Target(_tombstones, [b'{"texts": ["0123456789abcdef"]}'], True),
    "key file, experiment": Target(_keys, [KEYS], True),
    "request to the server": Target(_request, [PREDICT, V2], True),
    "text: repairs, masking, words": Target(
        _text, [b"<b>a@b.org</b> &amp; +1 (212) 555-0100 4111 1111 1111 1111", "अ आ ｇｏｏｄ 好的".encode()]
    ),
}


def made_seeds(name: str) -> list[bytes]:
    """Inputs of a target that are made by the libraries that write such files."""
    import io

    if name == "source: Parquet":
        import pyarrow
        import pyarrow.parquet

        content = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table({"text": ["a", None], "label": [1, 0]}), content)
        return [content.getvalue()]
    if name == "sheet: workbook":
        import openpyxl

        book, content = openpyxl.Workbook(), io.BytesIO()
        book.active.append(["id", "text", "label"])
        book.active.append(["1", "a", "b"])
        book.save(content)
        return [b"\0" + content.getvalue()]
    return []
