"""The studio: who is let in, what is shown, what stays sealed, and that no text of anybody's becomes markup."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ratchet.errors import ReleaseError
from ratchet.files import write_json
from ratchet.labels.annotations import annotation_table
from ratchet.labels.remarks import ANNOTATIONS
from ratchet.labels.store import append, write_batch
from ratchet.reporting.change import Change, Section
from ratchet.studio.app import make_app
from ratchet.studio.guard import HEADERS
from ratchet.studio.texts import PAGE_ROWS, Asked, find_texts, parse_asked
from ratchet.studio.views import errors_view
from ratchet.studio.workspace import Paths, Workspace
from tests.support.answers import answer as said
from tests.support.live_server import word_bundle
from tests.support.release_reports import evaluate_report, judge_report

PORT, TOKEN = 8787, "a-token"
HOST = f"127.0.0.1:{PORT}"
XSS = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</textarea></title><svg/onload=alert(1)>",
    "javascript:alert(1)//",
    "{{ 7 * 7 }}{% raw %}",
    "a\u202eb ' OR 1=1; DROP TABLE texts --",
)
SEALED_WORD = "SEALEDWORD"
LABELS = ("<b>bad</b>", 'good" onclick="alert(1)')
BUNDLES = ("small-int8", "teacher", "<i>odd</i>")
N = 160


class Page(HTMLParser):
    """What a page would run, load and link to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "a":
            self.links += [value or "" for name, value in attrs if name == "href"]


def corpus() -> pd.DataFrame:
    """Texts of every part, in which every tenth attacks the page that shows it."""
    rows = np.arange(N)
    parts = np.array(["train", "validation", "test", "not used", "quarantine"])[rows % 5]
    texts = [
        f"{XSS[row // 10 % len(XSS)]} {row}" if row % 10 == 1 else f"{SEALED_WORD if row % 5 == 2 else 'Film'} {row}"
        for row in rows
    ]
    labels = [LABELS[row % 2] for row in rows]
    sources = [f"<u>{row % 3}</u>" for row in rows]
    ids = [f"{row:016x}" for row in rows]
    return pd.DataFrame({"row": rows, "id": ids, "text": texts, "label": labels, "source": sources, "part": parts})


def answers(frame: pd.DataFrame) -> pd.DataFrame:
    """Predictions of each bundle on validation texts, and on test texts, which must not be shown."""
    found = []
    for place, bundle in enumerate(BUNDLES):
        asked = frame[frame["part"].isin(["validation", "test"])]
        wrong = (asked["row"] // 5 + place) % 3 == 0
        predicted = [LABELS[(row + bad) % 2] for row, bad in zip(asked["row"], wrong, strict=True)]
        confidence = 0.5 + (asked["row"] * 7 % 50) / 100
        found.append(asked[["id", "label"]].assign(split=asked["part"], bundle=bundle, predicted=predicted))
        found[-1]["confidence"] = confidence
    return pd.concat(found, ignore_index=True)


def write_run(root: Path) -> pd.DataFrame:
    """A miniature of what a run leaves; returns its texts."""
    frame = corpus()
    (root / "data/splits").mkdir(parents=True)
    (root / "reports/explain").mkdir(parents=True)
    columns = ["row", "id", "text", "label", "source"]
    frame[columns].to_parquet(root / "data/corpus.parquet")
    for part in ("train", "validation", "test"):
        frame[frame["part"] == part][columns].to_parquet(root / f"data/splits/{part}.parquet")
    broken = frame[frame["part"] == "quarantine"][columns].assign(rule="<s>rule</s>", value="1", reason=XSS[1])
    broken.to_parquet(root / "data/quarantine.parquet")
    frame[frame["row"] % 7 == 0][["row", "id"]].assign(rule="flag<", value="1").to_parquet(
        root / "data/flagged.parquet"
    )
    bought = frame[frame["part"] == "train"][["id"]]
    bought.assign(round=1, query_strategy="margin").to_parquet(root / "data/labeled.parquet")
    suspicious = frame[frame["part"] == "validation"][["id"]].head(9)
    suspicious.assign(suggested=LABELS[0], score=0.1, rank=range(9)).to_parquet(root / "data/suspects.parquet")
    answers(frame).to_parquet(root / "data/predictions.parquet")
    vectors = np.random.default_rng(0).normal(size=(N, 8)).astype(np.float32)
    vectors[6] = vectors[1]  # two validation texts, and a sealed one, in one place
    vectors[2] = vectors[1]
    pq.write_table(
        pa.table({"id": frame["id"], "embedding": pa.FixedSizeListArray.from_arrays(vectors.ravel(), 8)}),
        root / "data/embeddings.parquet",
    )
    text = frame["text"][6]
    pd.DataFrame({"id": frame["id"][[6]], "text": [text], "proba_a": [0.3], "proba_b": [0.7]}).to_parquet(
        root / "reports/explain/teacher-texts.parquet"
    )
    pd.DataFrame({"id": frame["id"][[6]], "start": [0], "end": [4], "value_a": [0.1], "value_b": [0.4]}).to_parquet(
        root / "reports/explain/teacher-words.parquet"
    )
    evaluate = evaluate_report()
    evaluate["challenge_failures"] = [{"text": SEALED_WORD}]
    names = list(evaluate["bundles"])
    gate = {"metric": "accuracy", "passed": False, "applies": True, "waived": [], "reason": XSS[0], "see": "r.json"}
    decision = {
        "verdict": "rejected",
        "chosen": None,
        "reasons": ["Because.", XSS[1]],
        "ranking": names[:2],
        "rule": "A rule.",
        "bundles": {name: {"passed": False, "gates": [{**gate, "value": 0.5}]} for name in names[:2]},
        "command": "python -m pipeline_steps.promote",
    }
    for name, report in {"evaluate": evaluate, "judge": judge_report(), "decision": decision}.items():
        write_json(root / f"reports/{name}.json", report)
    return frame


def workspace_of(root: Path) -> Workspace:
    return Workspace(Paths(root, root / "data", root / "reports", root / "measurements", root / "models"))


def no_compare(base: str, head: str) -> Change:
    raise ReleaseError("There is no such revision.", got=base)


def ask(app: Any, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> httpx.Response:
    """One request, by default from a browser that has the token's cookie."""
    sent = {"host": HOST, "cookie": f"ratchet_studio_{PORT}={TOKEN}", **(headers or {})}

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}", verify=False) as client:
            return await client.request(method, path, headers={name: value for name, value in sent.items() if value})

    return asyncio.run(send())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_run(folder)
    return folder


@pytest.fixture(scope="module")
def workspace(root: Path) -> Workspace:
    return workspace_of(root)


@pytest.fixture(scope="module")
def app(workspace: Workspace) -> Any:
    return make_app(workspace, TOKEN, PORT, no_compare)


@pytest.fixture(scope="module")
def pages(app: Any) -> dict[str, httpx.Response]:
    """Every page that can be reached by links from the first, but for orders and most of the single texts."""
    found: dict[str, httpx.Response] = {}
    waiting = ["/", f"/compare?base={XSS[0]}", "/texts/2", "/texts?search=%3Cscript%3E"]
    while waiting:
        path = waiting.pop()
        if path not in found and "order=" not in path and ("/texts/" not in path or path.endswith(("1", "2", "6"))):
            found[path] = ask(app, path)
            waiting += [link.split("#")[0] or "/" for link in Page(found[path].text).links if link.startswith("/")]
    return found


def test_a_token_becomes_a_cookie_that_no_script_and_no_other_site_sends(app: Any) -> None:
    assert ask(app, "/", headers={"cookie": ""}).status_code == 403
    assert ask(app, "/", headers={"cookie": f"ratchet_studio_{PORT}=another"}).status_code == 403
    assert ask(app, "/?token=another", headers={"cookie": ""}).status_code == 403
    answer = ask(app, f"//elsewhere.example/texts?token={TOKEN}&search=x", headers={"cookie": ""})
    assert (answer.status_code, answer.headers["location"]) == (303, "/texts?search=x")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert ask(app, "/").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1:80", f"127.0.0.1.evil:{PORT}"])
def test_another_name_for_this_address_is_not_answered(app: Any, host: str) -> None:
    answer = ask(app, "/texts", headers={"host": host})
    assert answer.status_code == 421
    assert "Film" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_can_be_written(app: Any, method: str) -> None:
    assert ask(app, "/texts", method).status_code == 405


def test_guests_may_read_where_they_are_let_in(workspace: Workspace) -> None:
    app = make_app(workspace, TOKEN, PORT, no_compare, guests=True)
    assert ask(app, "/texts", headers={"cookie": ""}).status_code == 200
    assert ask(app, "/texts", "POST", headers={"cookie": ""}).status_code == 405
    assert ask(app, "/texts", headers={"cookie": "", "host": "evil.example"}).status_code == 421


def test_every_page_answers_and_forbids_scripts(pages: dict[str, httpx.Response]) -> None:
    assert {"/", "/texts", "/errors", "/compare", "/reports", "/reports/evaluate"} <= set(pages)
    assert {path for path, answer in pages.items() if answer.status_code != 200} == {"/texts/2"}
    for answer in pages.values():
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    policy = HEADERS["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy


def test_no_text_label_source_or_name_becomes_markup_or_leaves_the_machine(pages: dict[str, httpx.Response]) -> None:
    shown = "".join(answer.text for answer in pages.values())
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "\u202e" not in shown
    assert "49{" not in shown
    for path, answer in pages.items():
        page = Page(answer.text)
        assert not {"script", "img", "iframe", "object", "embed", "link", "b", "i", "u", "s"} & set(page.tags), path
        assert not [name for name, _ in page.attributes if name.startswith("on")], path
        addresses = [value for name, value in page.attributes if name in ("href", "src", "action", "formaction")]
        assert all(value.startswith(("/", "#")) and not value.startswith("//") for value in addresses), path


def test_the_sealed_test_is_shown_nowhere(pages: dict[str, httpx.Response], workspace: Workspace) -> None:
    assert not [path for path, answer in pages.items() if SEALED_WORD in answer.text]
    assert workspace.query("SELECT count(*) AS n FROM answers")[0]["n"] == 3 * N // 5
    assert "No such text" in pages["/texts/2"].text


def test_without_the_list_of_sealed_texts_only_those_of_other_splits_are_shown(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "data/splits/test.parquet").unlink()
    rows = workspace_of(tmp_path).query("SELECT DISTINCT part FROM texts ORDER BY part")
    assert [row["part"] for row in rows] == ["train", "validation"]
    assert workspace_of(tmp_path).query("SELECT count(*) AS n FROM answers")[0]["n"] == 3 * N // 5


FILTERS: dict[str, dict[str, str]] = {
    "search": {"search": "FILM 1"},
    "quotes": {"search": "' OR 1=1"},
    "part": {"part": "quarantine"},
    "label": {"label": LABELS[1]},
    "source": {"source": "<u>1</u>"},
    "rule": {"rule": "<s>rule</s>"},
    "flag": {"flag": "flag<"},
    "predicted": {"predicted": LABELS[0], "bundle": "teacher"},
    "wrong": {"outcome": "wrong", "bundle": "teacher"},
    "right": {"outcome": "right", "bundle": "<i>odd</i>"},
    "answered": {"outcome": "answered", "bundle": "teacher"},
    "against": {"bundle": "small-int8", "against": "teacher"},
    "suspect": {"suspect": "1"},
    "confidence": {"low": "0.6", "high": "0.8", "bundle": "teacher"},
    "both": {"label": LABELS[0], "part": "train"},
}


def oracle(frame: pd.DataFrame, asked: Mapping[str, str]) -> set[int]:
    """The rows that the filters mean, by pandas."""
    found = answers(frame).pivot_table(
        index="id", columns="bundle", values=["predicted", "confidence"], aggfunc="first"
    )
    shown = frame[frame["part"] != "test"]
    own = {
        what: shown["id"].map(found[what][asked.get("bundle", "small-int8")]) for what in ("predicted", "confidence")
    }
    other = shown["id"].map(found["predicted"][asked.get("against", "teacher")])
    tests: dict[str, Callable[[str], Any]] = {
        "search": lambda value: shown["text"].str.lower().str.contains(value.lower(), regex=False),
        "part": lambda value: shown["part"] == value,
        "label": lambda value: shown["label"] == value,
        "source": lambda value: shown["source"] == value,
        "rule": lambda _: shown["part"] == "quarantine",
        "flag": lambda _: shown["row"] % 7 == 0,
        "predicted": lambda value: own["predicted"] == value,
        "outcome": lambda value: (
            own["predicted"].notna()
            & ((value == "answered") | ((own["predicted"] == shown["label"]) == (value == "right")))
        ),
        "against": lambda _: own["predicted"].notna() & (own["predicted"] != other),
        "suspect": lambda _: shown["id"].isin(shown[shown["part"] == "validation"]["id"].head(9)),
        "low": lambda value: own["confidence"] >= float(value),
        "high": lambda value: own["confidence"] <= float(value),
    }
    kept = pd.Series(True, index=shown.index)
    for name, value in asked.items():
        if name in tests:
            kept &= tests[name](value)
    return set(shown[kept]["row"])


def rows_of(workspace: Workspace, asked: Asked) -> Iterator[dict[str, Any]]:
    """The rows of all pages."""
    for page in range(1, find_texts(workspace, asked)["pages"] + 1):
        yield from find_texts(workspace, parse_asked({**vars(asked), "page": str(page)}, ""))["rows"]


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_finds_what_it_says(workspace: Workspace, name: str) -> None:
    asked = parse_asked(FILTERS[name], "small-int8")
    expected = oracle(corpus(), FILTERS[name])
    assert expected
    assert {row["row"] for row in rows_of(workspace, asked)} == expected
    assert find_texts(workspace, asked)["n"] == len(expected)


@pytest.mark.parametrize("down", ["", "1"])
@pytest.mark.parametrize("order", ["row", "text", "confidence", "suspicion"])
def test_pages_hold_every_text_once_in_order(workspace: Workspace, order: str, down: str) -> None:
    rows = list(rows_of(workspace, parse_asked({"order": order, "down": down}, "teacher")))
    assert len(rows) == len({row["row"] for row in rows}) == N * 4 // 5 > PAGE_ROWS
    key = "rank" if order == "suspicion" else order
    keys = [row[key] for row in rows if row[key] is not None]
    assert keys == sorted(keys, reverse=bool(down))
    assert all(row[key] is None for row in rows[len(keys) :])


def test_an_address_says_the_view_and_a_wrong_one_is_the_first_page(workspace: Workspace) -> None:
    asked = parse_asked({"search": "a&b=<c>", "label": LABELS[1], "page": "2"}, "teacher")
    assert parse_asked(dict(httpx.URL(asked.address(page=2)).params), "teacher") == asked
    assert find_texts(workspace, parse_asked({"page": "999999999"}, ""))["page"] == 3
    wrong = parse_asked({"order": "1; DROP TABLE texts", "low": "nan", "high": "x", "outcome": "?", "page": "٣x"}, "b")
    assert wrong == Asked(bundle="b")


def test_a_text_shows_its_history_answers_words_and_neighbours(app: Any) -> None:
    page = ask(app, "/texts/6").text
    assert "in round 1" in ask(app, "/texts/5").text
    assert "place 2:" in page
    assert page.count('<th scope="row">') == len(BUNDLES)
    assert '<mark class="for2" title="+1.00 of the largest">Film</mark>' in page
    assert "teacher: b" in page
    nearest = Page(page.split("Nearest texts</h2>")[1]).links
    assert nearest[0] == "/texts/1"
    assert "1.000" in page.split("Nearest texts</h2>")[1]


def test_a_figure_leads_to_its_rows(app: Any, workspace: Workspace) -> None:
    page = ask(app, "/errors?bundle=teacher").text
    frame = answers(corpus())
    mine = frame[(frame["bundle"] == "teacher") & (frame["split"] == "validation")]
    wrong = mine[mine["predicted"] != mine["label"]]
    counts = Counter(zip(wrong["label"], wrong["predicted"], strict=True))
    assert f"{len(wrong)} of {len(mine)} validation texts" in page
    for (label, predicted), n in counts.items():
        view = Asked(part="validation", bundle="teacher", label=label, predicted=predicted)
        assert view.address() in Page(page).links
        assert find_texts(workspace, view)["n"] == n
    run = Page(ask(app, "/").text).links
    assert Asked(part="validation", bundle="teacher", outcome="wrong").address() in run
    assert {"/reports/judge", "/reports/evaluate", "/reports/decision"} <= set(run)


def test_pairs_beyond_the_most_frequent_are_counted(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = errors_view(workspace, "teacher", "")
    monkeypatch.setattr("ratchet.studio.views.MAX_PAIRS", 1)
    cut = errors_view(workspace, "teacher", "")
    assert (whole["left_out"], len(whole["pairs"]), len(cut["pairs"])) == (0, 2, 1)
    assert cut["left_out"] == whole["pairs"][1]["n"]


def test_a_comparison_shows_what_diff_shows_and_an_unknown_revision_its_message(workspace: Workspace) -> None:
    seen = []

    def compare(base: str, head: str) -> Change:
        seen.append((base, head))
        return Change("before", "after", "A verdict.", [Section("Params", ("key",), [["a.<b>"]]), Section("Data", ())])

    page = ask(make_app(workspace, TOKEN, PORT, compare), "/compare?base=main&head=").text
    assert seen == [("main", "")]
    assert "a.&lt;b&gt;" in page
    assert "Unchanged: data." in page
    assert "no such revision" in ask(make_app(workspace, TOKEN, PORT, no_compare), "/compare?base=--output=x").text


@pytest.mark.parametrize("path", ["/", "/texts", "/errors", "/reports"])
def test_an_empty_repository_says_what_to_do(tmp_path: Path, path: str) -> None:
    answer = ask(make_app(workspace_of(tmp_path), TOKEN, PORT, no_compare), path)
    assert answer.status_code == 200
    assert "<code>make run</code>" in answer.text


@pytest.mark.parametrize(
    "path", ["/nothing", "/texts/99999999999999999999", "/reports/..%2Fparams", "/reports/nothing"]
)
def test_what_is_not_there_is_said(app: Any, path: str) -> None:
    assert ask(app, path).status_code == 404


@pytest.mark.service
def test_the_command_serves_what_its_address_opens_until_it_is_interrupted(root: Path) -> None:
    (root / "policy.yaml").write_bytes(Path("policy.yaml").read_bytes())
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    command = [sys.executable, "-m", "ratchet", "studio", "--port", "0", "--root", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        try:
            assert served.stdout is not None
            address = served.stdout.readline().removeprefix("Open ").strip()
            with httpx.Client(follow_redirects=True, trust_env=False, timeout=60) as client:
                assert client.get(address.split("?")[0]).status_code == 403
                opened = client.get(address)
                assert (opened.status_code, opened.url.query) == (200, b"")
                assert "Rejected" in opened.text
                assert client.get(opened.url.join("/texts")).status_code == 200
                assert "no such revision" in client.get(opened.url.join("/compare?base=no-such-branch")).text
            taken = subprocess.run(
                [*command[:5], str(opened.url.port), "--root", str(root)], capture_output=True, text=True, check=False
            )
            assert (taken.returncode, "The port is taken" in taken.stderr) == (1, True)
        finally:
            served.send_signal(signal.SIGINT)
        assert served.wait(30) in (0, 130)


def test_a_new_run_is_shown_without_a_restart(tmp_path: Path) -> None:
    frame = write_run(tmp_path)
    workspace = workspace_of(tmp_path)
    before = find_texts(workspace, Asked())["n"]
    frame.drop(columns="part").head(40).to_parquet(tmp_path / "data/corpus.parquet")
    assert (before, find_texts(workspace, Asked())["n"]) == (128, 32)


@pytest.fixture(scope="module")
def trying(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The application over two bundles of words, of which the second has learned the opposite."""
    root = tmp_path_factory.mktemp("bundles")
    word_bundle(root / "models/words", praise=["superb"], blame=["dull"])
    word_bundle(root / "models/a&b", "a&b", praise=["dull"], blame=["superb"])
    return make_app(workspace_of(root), TOKEN, PORT, no_compare)


def test_a_text_of_ones_own_is_answered_by_two_bundles_with_the_words_behind_it(trying: Any) -> None:
    page = ask(trying, "/try?text=a+superb+film&bundle=words&against=a%26b").text
    assert page.index("words: positive") < page.index("a&amp;b: negative")
    assert page.count('<mark class="for2" title="+1.00 of the largest">superb</mark>') == 2
    assert page.count("<meter ") == 4
    values = [float(value) for name, value in Page(page).attributes if name == "value" and value.startswith("0.")]
    assert values[0] + values[1] == pytest.approx(1)
    assert values[0] > values[1]


@pytest.mark.parametrize("attack", XSS)
def test_a_text_of_ones_own_is_text(trying: Any, attack: str) -> None:
    answer = ask(trying, f"/try?{urlencode({'text': attack, 'bundle': attack, 'against': attack})}")
    assert answer.status_code == 200
    assert {"script", "img", "svg"}.isdisjoint(Page(answer.text).tags)
    assert answer.text.count("<textarea") == answer.text.count("</textarea>") == 1


def test_trying_says_what_is_missing_or_damaged_and_reads_a_bundle_again_that_a_run_has_replaced(
    tmp_path: Path,
) -> None:
    app = make_app(workspace_of(tmp_path), TOKEN, PORT, no_compare)
    assert "There is no bundle here yet" in ask(app, "/try").text
    word_bundle(tmp_path / "models/words", praise=["superb"], blame=["dull"])
    assert "<meter" not in ask(app, "/try").text
    assert "words: positive" in ask(app, "/try?text=superb").text
    shutil.rmtree(tmp_path / "models/words")
    word_bundle(tmp_path / "models/words", praise=["dull"], blame=["superb"])
    assert "words: negative" in ask(app, "/try?text=superb").text
    shutil.rmtree(tmp_path / "models/words")
    word_bundle(tmp_path / "models/words", praise=["dull", "late"], blame=["superb"])
    (tmp_path / "models/words/tfidf.safetensors").write_bytes(b"damaged")
    assert 'role="alert"' in ask(app, "/try?text=superb").text


def test_a_text_shows_what_people_said_of_it_and_what_would_change_the_answer(tmp_path: Path) -> None:
    frame = write_run(tmp_path)
    key, text = str(frame["id"][6]), str(frame["text"][6])
    given = replace(said(key, "anna", "no"), comment=XSS[0])
    rows = annotation_table(
        [given, replace(said(key, "anna", "yes", 9), change_reason="misread")], "annotator", "k", ["no", "yes"]
    )
    batch = write_batch(tmp_path / "data/labels", rows, ANNOTATIONS)
    assert batch is not None
    write_json(tmp_path / "data/labels.json", {"batches": []})
    append(tmp_path / "data/labels.json", [batch])
    edit = {"text": text, "edited": XSS[1], "edits": "Film → (deleted)", "predicted": "a", "becomes": "b"}
    other = {**edit, "text": "another text", "edited": "never shown"}
    examples = {"deletion": {"examples": [edit, other]}, "exchange": {"examples": []}}
    write_json(tmp_path / "reports/counterfactuals.json", {"bundles": {"teacher": examples}})
    app = make_app(workspace_of(tmp_path), TOKEN, PORT, no_compare)
    page = ask(app, "/texts/6").text
    assert "no → yes, because: misread" in page
    assert "teacher, deletion: Film → (deleted) (a becomes b)" in page
    assert "never shown" not in page
    assert {"script", "img"}.isdisjoint(Page(page).tags)
    assert "What people said" not in ask(app, "/texts/1").text
    (tmp_path / "data/labels" / batch.file).unlink()
    assert ask(app, "/texts/6").status_code == 200
