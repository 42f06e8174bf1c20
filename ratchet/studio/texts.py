"""Texts by search, filter, order and page; and all that is known of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ratchet.errors import RatchetError
from ratchet.studio.workspace import Workspace

PAGE_ROWS = 50
MAX_CHARACTERS = 240
"""Of a text in the table; its own page has all of it."""
MAX_QUERY = 200
N_NEIGHBOURS = 10
ORDERS = {
    "row": "t.row",
    "text": "t.text",
    "label": "t.label",
    "part": "t.part",
    "source": "t.source",
    "predicted": "a.predicted",
    "confidence": "a.confidence",
    "suspicion": "t.rank",
}
"""What can be sorted by → its column; a query holds no other name."""
EQUALS = {"part": "t.part", "label": "t.label", "source": "t.source", "rule": "t.rule", "predicted": "a.predicted"}
OUTCOMES = {"wrong": "NOT a.correct", "right": "a.correct", "answered": "a.id IS NOT NULL"}
FROM = """FROM texts t LEFT JOIN (SELECT * FROM answers WHERE bundle = $bundle) a USING (id)
LEFT JOIN (SELECT * FROM answers WHERE bundle = $against) b USING (id)"""


@dataclass(frozen=True)
class Asked:
    """One view of the texts, as its address says it; empty means any."""

    search: str = ""
    part: str = ""
    label: str = ""
    source: str = ""
    rule: str = ""
    flag: str = ""
    predicted: str = ""
    bundle: str = ""
    outcome: str = ""
    against: str = ""
    """Another bundle, which answers otherwise than `bundle`."""
    suspect: str = ""
    low: str = ""
    high: str = ""
    order: str = "row"
    down: str = ""
    page: int = 1

    def address(self, **changes: Any) -> str:
        """The address of this view with some of it changed."""
        asked = replace(self, **{"page": 1, **changes})
        values = {name: value for name, value in vars(asked).items() if value != getattr(Asked, name)}
        return "/texts" + (f"?{urlencode(values)}" if values else "")


def parse_asked(query: Mapping[str, str], bundle: str) -> Asked:
    """The view that an address asks for; what it says wrongly is as if it said nothing.

    >>> parse_asked({"page": "-3", "order": "id; DROP TABLE texts", "nonsense": "x"}, "student")
    Asked(search='', part='', label='', source='', rule='', flag='', predicted='', bundle='student', outcome='', \
against='', suspect='', low='', high='', order='row', down='', page=1)
    """
    known = {name: query[name][:MAX_QUERY] for name in vars(Asked()) if name in query}
    page = known.pop("page", "1")
    asked = Asked(**{"bundle": bundle, **known}, page=max(1, int(page)) if page.isdecimal() and len(page) < 10 else 1)
    return replace(
        asked,
        bundle=asked.bundle or bundle,
        order=asked.order if asked.order in ORDERS else "row",
        outcome=asked.outcome if asked.outcome in OUTCOMES else "",
        low=asked.low if _share(asked.low) is not None else "",
        high=asked.high if _share(asked.high) is not None else "",
    )


def find_texts(workspace: Workspace, asked: Asked) -> dict[str, Any]:
    """One page of the texts that a view asks for: `rows`, `n` in all, `pages`, and the page's own number."""
    where, values = _conditions(asked)
    n = workspace.query(f"SELECT count(*) AS n {FROM} WHERE {where}", values)[0]["n"]
    pages = max(1, -(-n // PAGE_ROWS))
    page = min(asked.page, pages)
    direction = "DESC" if asked.down else "ASC"
    rows = workspace.query(
        f"""SELECT t.row, substr(t.text, 1, {MAX_CHARACTERS}) AS text, length(t.text) > {MAX_CHARACTERS} AS cut,
        t.label, t.part, t.source, t.rule, t.flags, t.rank, a.predicted, a.confidence, a.correct, b.predicted AS other
        {FROM} WHERE {where} ORDER BY {ORDERS[asked.order]} {direction} NULLS LAST, t.row
        LIMIT {PAGE_ROWS} OFFSET {(page - 1) * PAGE_ROWS}""",
        values,
    )
    return {"rows": rows, "n": n, "pages": pages, "page": page}


def choices(workspace: Workspace) -> dict[str, list[str]]:
    """The values that each filter offers."""
    columns = {"part": "part", "label": "label", "source": "source", "rule": "rule", "flag": "unnest(flags)"}
    found = {
        name: [
            row["value"]
            for row in workspace.query(f"SELECT DISTINCT {column} AS value FROM texts ORDER BY 1 LIMIT 500")
            if row["value"] is not None
        ]
        for name, column in columns.items()
    }
    bundles = workspace.query("SELECT DISTINCT bundle FROM answers ORDER BY 1")
    return {**found, "bundle": [row["bundle"] for row in bundles]}


def one_text(workspace: Workspace, row: int) -> dict[str, Any] | None:
    """All that is known of a text: its label's history, answers, words and neighbours; None where it is not shown."""
    found = workspace.query("SELECT * FROM texts WHERE row = $row", {"row": row})
    if not found:
        return None
    text = found[0]
    return {
        "text": text,
        "answers": workspace.query(
            "SELECT * FROM answers WHERE id = $id ORDER BY correct, confidence DESC, bundle", {"id": text["id"]}
        ),
        "said": _said(workspace, text["id"]),
        "words": _words(workspace.paths.reports / "explain", text),
        "counterfactuals": _counterfactuals(workspace.report("counterfactuals"), text["text"]),
        "neighbours": _neighbours(workspace, text["id"]),
    }


def _said(workspace: Workspace, identifier: str) -> list[str]:
    """Every answer of people to the text, a line each, with comments and reasons; none without a label store."""
    from ratchet.labels.remarks import notes
    from ratchet.labels.store import read_store

    pointer = workspace.paths.data / "labels.json"
    if not pointer.is_file():
        return []
    try:
        held = read_store(pointer, workspace.paths.data / "labels")
    except RatchetError as error:
        return [str(error)]
    return [note.line.removeprefix(f"{note.id} ") for note in notes(held.annotations, identifier)]


def _counterfactuals(report: Mapping[str, Any], text: str) -> list[dict[str, Any]]:
    """The edits of this text that change a bundle's answer, of those that the report quotes."""
    return [
        {"bundle": name, "kind": kind, **example}
        for name, found in report.get("bundles", {}).items()
        for kind in ("deletion", "exchange")
        for example in found.get(kind, {}).get("examples", ())
        if example["text"] == text
    ]


def _conditions(asked: Asked) -> tuple[str, dict[str, Any]]:
    """The WHERE clause of a view, in which every value is a parameter, and the parameters."""
    values: dict[str, Any] = {"bundle": asked.bundle, "against": asked.against}
    where = ["true"]
    for name, column in EQUALS.items():
        if value := getattr(asked, name):
            where.append(f"{column} = ${name}")
            values[name] = value
    if asked.search:
        where.append("contains(lower(t.text), lower($search))")
        values["search"] = asked.search
    if asked.flag:
        where.append("list_contains(t.flags, $flag)")
        values["flag"] = asked.flag
    if asked.suspect:
        where.append("t.rank IS NOT NULL")
    if asked.outcome:
        where.append(OUTCOMES[asked.outcome])
    if asked.against:
        where.append("a.predicted <> b.predicted")
    for name, sign in (("low", ">="), ("high", "<=")):
        if (share := _share(getattr(asked, name))) is not None:
            where.append(f"a.confidence {sign} ${name}")
            values[name] = share
    return " AND ".join(where), values


def _share(text: str) -> float | None:
    """A number in [0, 1], or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _words(folder: Path, text: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Bundle → the class it predicts, and the text in pieces, each with its SHAP value for that class in [-1, 1].

    Values are divided by the text's largest, so that its shade can be read.
    """
    import pyarrow.parquet as pq

    explained: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*-words.parquet")):
        name = path.name.removesuffix("-words.parquet")
        head = pq.read_table(folder / f"{name}-texts.parquet", filters=[("id", "=", text["id"])]).to_pylist()
        if not head or head[0]["text"] != text["text"]:
            continue
        proba = {key.removeprefix("proba_"): value for key, value in head[0].items() if key.startswith("proba_")}
        predicted = max(proba, key=lambda label: proba[label])
        words = pq.read_table(path, filters=[("id", "=", text["id"])]).sort_by("start").to_pylist()
        values = {word["start"]: (word["end"], word[f"value_{predicted}"]) for word in words}
        explained[name] = {"predicted": predicted, "pieces": pieces(text["text"], values)}
    return explained


def pieces(text: str, values: Mapping[int, tuple[int, float]]) -> list[dict[str, Any]]:
    """A text cut at its words, which carry their value relative to the largest.

    >>> pieces("a late train", {2: (6, -0.4), 7: (12, 0.1)})[1:]
    [{'text': 'late', 'value': -1.0}, {'text': ' ', 'value': 0.0}, {'text': 'train', 'value': 0.25}]
    """
    largest = max((abs(value) for _, value in values.values()), default=0.0) or 1.0
    pieces, place = [], 0
    for start in sorted(values):
        end, value = values[start]
        if start < place:
            continue
        pieces.append({"text": text[place:start], "value": 0.0})
        pieces.append({"text": text[start:end], "value": value / largest})
        place = end
    pieces.append({"text": text[place:], "value": 0.0})
    return [piece for piece in pieces if piece["text"]]


def _neighbours(workspace: Workspace, identifier: str) -> list[dict[str, Any]]:
    """The texts whose embeddings are nearest by cosine, nearest first; none where the text has no embedding."""
    import numpy as np

    places, vectors = workspace.embeddings()
    if identifier not in places:
        return []
    similar = vectors @ vectors[places[identifier]]  # (texts,)
    identifiers = list(places)
    # the sealed test has embeddings too: more are taken than shown, and those of `texts` are kept
    nearest = {identifiers[place]: float(similar[place]) for place in np.argsort(-similar)[: 40 * N_NEIGHBOURS]}
    rows = workspace.query(
        "SELECT min(row) AS row, id, any_value(text) AS text, any_value(label) AS label, any_value(part) AS part "
        "FROM texts WHERE id IN (SELECT unnest($ids)) AND id <> $own GROUP BY id",
        {"ids": list(nearest), "own": identifier},
    )
    found = [{**row, "similarity": nearest[row["id"]]} for row in rows]
    return sorted(found, key=lambda row: -row["similarity"])[:N_NEIGHBOURS]
