"""The dossier: every figure is found again, and what is false, stale, changed or badly signed is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ratchet.__main__ import app
from ratchet.errors import ParamsError, ReleaseError, SourceError
from ratchet.files import read_json, write_json
from ratchet.reporting.dossier.catalogue import LANGUAGES, Catalogue, catalogue
from ratchet.reporting.dossier.documents import ANSWERS, write_documents
from ratchet.reporting.dossier.figures import NotMeasuredError, at, in_words
from ratchet.reporting.dossier.pages import to_html, to_pdf
from ratchet.reporting.dossier.seal import SEAL, check_seal
from tests.support.miniature import ROOT
from tests.support.release_reports import evaluate_report, judge_report

BUNDLE = "small/int8"
"""With a sign that a JSON Pointer has to escape."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository in which a run has ended; some of its stages were left out."""
    for name in ("params.yaml", "live.yaml"):
        shutil.copyfile(ROOT / "examples/films" / name, tmp_path / name)
    shutil.copyfile(ROOT / "policy.yaml", tmp_path / "policy.yaml")
    evaluated, judged = evaluate_report(), judge_report()
    for report in (evaluated, judged):
        report["bundles"] = {BUNDLE: next(iter(report["bundles"].values())), **report["bundles"]}
    reports: dict[str, Any] = {"evaluate": evaluated, "judge": judged}
    reports["decision"] = {"chosen": BUNDLE, "verdict": "accepted", "reasons": ["It passes."], "ranking": [BUNDLE]}
    reports["validate"] = {"n_in": 100, "n_quarantined": 3, "n_flagged": 2, "quarantined_by_first_rule": {"twin": 3}}
    for name, content in reports.items():
        write_json(tmp_path / f"reports/{name}.json", content)
    return tmp_path


def write(root: Path, *options: str, into: str = "dossier") -> Path:
    """What the command writes; the seal."""
    command = ["dossier", "write", "--root", str(root), "--into", str(root / into), *options]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return root / into / SEAL


def edit(path: Path, change: Callable[[Any], object]) -> None:
    content = read_json(path)
    change(content)
    write_json(path, content)


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A private key, its public one, and somebody else's public one."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    made = []
    for name in ("own", "other"):
        key = ec.generate_private_key(ec.SECP256R1())
        private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (tmp_path / f"{name}.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
        public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        (tmp_path / f"{name}.pub").write_bytes(key.public_key().public_bytes(*public))
        made += [tmp_path / f"{name}.pem", tmp_path / f"{name}.pub"]
    return made[0], made[1], made[3]


# What it says


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sentence_names_its_figure_its_interval_and_its_file(root: Path, language: str) -> None:
    documents, figures = write_documents(root, language)
    assert set(documents) == {"annex-iv", "model-card", "data-sheet", "iso-42001", "nist-ai-rmf"}
    measured = read_json(root / "reports/judge.json")["bundles"][BUNDLE]["metrics"]["accuracy"]
    assert in_words(measured, language) in documents["annex-iv"]
    assert "reports/judge.json#/bundles/small~1int8/metrics/accuracy" in documents["annex-iv"]
    assert len(figures) > 20
    assert all(len(figure.sha256) == 64 for figure in figures)


def test_what_was_not_measured_is_told_by_name_and_what_people_must_say_stays_open(root: Path) -> None:
    documents, _ = write_documents(root, "en")
    missing = [line for line in documents["annex-iv"].splitlines() if line.startswith("**Not measured here:**")]
    assert any("robustness (reports/behave.json)" in line.replace("\\", "") for line in missing)
    assert "| 5: Risk management system" in documents["annex-iv"].replace("\\", "")
    assert documents["annex-iv"].count("- [ ] ") > 5


def test_an_answer_stands_in_place_of_its_question(root: Path) -> None:
    before, _ = write_documents(root, "de")
    (root / "data").mkdir()
    (root / ANSWERS).write_text("provider: {en: Example Ltd, de: Beispiel GmbH}\nstandards: ''\n")
    after, _ = write_documents(root, "de")
    assert "Beispiel GmbH" in after["annex-iv"]
    assert after["annex-iv"].count("- [ ] ") == before["annex-iv"].count("- [ ] ") - 1
    assert "Example Ltd" in write_documents(root, "en")[0]["annex-iv"]


@pytest.mark.parametrize(
    ("content", "message"),
    [("owner: me", "no such question"), ("provider: [a, b]", "no text"), ("provider: 3", "no text")],
)
def test_answers_that_cannot_be_meant_are_named(root: Path, content: str, message: str) -> None:
    (root / "data").mkdir()
    (root / ANSWERS).write_text(content)
    with pytest.raises(ParamsError, match=message):
        write_documents(root, "en")


def test_without_a_chosen_model_there_is_nothing_to_document(root: Path) -> None:
    edit(root / "reports/decision.json", lambda report: report.update(chosen=None))
    with pytest.raises(ParamsError, match="no model"):
        write_documents(root, "en")
    with pytest.raises(ParamsError, match="no such language"):
        write_documents(root, "fr")


def test_every_sentence_is_worded_in_each_language_with_the_same_figures() -> None:
    known = catalogue()
    for fact in known.facts.values():
        assert fact.en != fact.de
    changed = known.model_dump()
    changed["facts"]["accuracy"]["de"] = "Die Genauigkeit ist {accuracy}."
    with pytest.raises(ValueError, match="other figures"):
        Catalogue.model_validate(changed)
    changed = known.model_dump()
    del changed["questions"]["provider"]
    with pytest.raises(ValueError, match="provider"):
        Catalogue.model_validate(changed)


def test_a_place_that_is_not_there_or_undefined_is_not_measured() -> None:
    for pointer in ("/a/b", "/c/2", "/d", "/e"):
        with pytest.raises(NotMeasuredError):
            at({"a": {}, "c": [1], "d": None, "e": {"value": None, "low": None, "high": None}}, pointer)


# What is sealed


def test_what_was_sealed_is_found_again_and_twice_the_same(root: Path) -> None:
    seal = write(root)
    found = check_seal(seal, root)
    assert (found.n_documents, found.faults, found.is_signed) == (15, [], False)
    again = write(root, into="again")
    assert {path.name: path.read_bytes() for path in seal.parent.iterdir()} == {
        path.name: path.read_bytes() for path in again.parent.iterdir()
    }
    done = CliRunner().invoke(app, ["dossier", "verify", str(seal), "--root", str(root)])
    assert (done.exit_code, "0 faults" in done.output) == (0, True)


def test_a_document_that_was_changed_is_refused(root: Path) -> None:
    seal = write(root, "--no-pdf")
    page = seal.parent / "annex-iv.md"
    page.write_text(page.read_text().replace("accuracy is 0.", "accuracy is 1."))
    (seal.parent / "data-sheet.html").unlink()
    done = CliRunner().invoke(app, ["dossier", "verify", str(seal), "--root", str(root)])
    assert done.exit_code == 1
    assert "annex-iv.md: the document was changed" in done.output
    assert "data-sheet.html: the document is missing" in done.output


def test_a_figure_that_changed_since_is_stale(root: Path) -> None:
    seal = write(root, "--no-pdf")
    edit(root / "reports/judge.json", lambda report: report["bundles"][BUNDLE]["metrics"]["accuracy"].update(value=0.1))
    edit(root / "reports/evaluate.json", lambda report: report.update(note="a figure that no sentence names"))
    (fault,) = check_seal(seal, root).faults
    assert fault.startswith("reports/judge.json#/bundles/small~1int8/metrics/accuracy: stale")
    (root / "reports/judge.json").unlink()
    assert all("no longer there" in fault for fault in check_seal(seal, root).faults)


def test_a_false_figure_is_refused(root: Path) -> None:
    seal = write(root, "--no-pdf")

    def better(content: Any) -> None:
        figure = next(item for item in content["predicate"]["figures"] if item["pointer"].endswith("metrics/accuracy"))
        figure["value"]["value"] = 0.999

    edit(seal, better)
    (fault,) = check_seal(seal, root).faults
    assert "false" in fault


def test_a_signature_counts_and_a_broken_one_or_a_stranger_s_is_refused(
    root: Path, keys: tuple[Path, Path, Path]
) -> None:
    private, public, other = keys
    seal = write(root, "--no-pdf", "--signing-key", str(private))
    assert check_seal(seal, root, [other.read_bytes(), public.read_bytes()]).is_signed
    for given in ([], [other.read_bytes()]):
        with pytest.raises(ReleaseError, match="none of the keys"):
            check_seal(seal, root, given)
    edit(seal, lambda content: content.update(payload=content["payload"][:-8] + "AAAAAAA="))
    with pytest.raises(ReleaseError, match=r"none of the keys|cannot be read"):
        check_seal(seal, root, [public.read_bytes()])
    with pytest.raises(ReleaseError, match="not signed"):
        check_seal(write(root, "--no-pdf"), root, [public.read_bytes()])


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"_type": "x", "subject": [], "predicateType": "y"}', "\0"])
def test_what_is_no_seal_is_named(root: Path, content: str) -> None:
    (root / SEAL).write_text(content)
    with pytest.raises(ReleaseError, match=r"cannot be read|something else"):
        check_seal(root / SEAL, root)


def test_a_seal_from_elsewhere_reads_no_file_outside_of_the_repository(root: Path) -> None:
    seal = write(root, "--no-pdf")
    (root.parent / "secret.json").write_text('{"a": 1}')
    edit(seal, lambda content: content["predicate"]["figures"][0].update(file="../secret.json", pointer="/a"))
    with pytest.raises(SourceError, match="outside"):
        check_seal(seal, root)


# Pages


def test_what_people_wrote_stays_text_on_the_page() -> None:
    page = to_html("# A\n\n<script>alert(1)</script> [x](javascript:alert(1))\n", "en")
    assert "<script>" not in page
    assert 'href="javascript' not in page


def test_a_pdf_has_the_text_of_its_document(root: Path) -> None:
    documents, _ = write_documents(root, "de")
    made = to_pdf(documents["annex-iv"], "de")
    assert made.startswith(b"%PDF-")
    assert made == to_pdf(documents["annex-iv"], "de")
    assert b"/Lang (de)" in made


def test_the_questions_are_printed_with_what_is_answered(root: Path) -> None:
    (root / "data").mkdir()
    (root / ANSWERS).write_text("provider: Example Ltd\n")
    done = CliRunner().invoke(app, ["dossier", "questions", "--root", str(root)])
    assert "x provider: " in done.output
    assert done.output.count("\n") == len(catalogue().questions)
    assert json.loads(json.dumps(catalogue().model_dump()))
