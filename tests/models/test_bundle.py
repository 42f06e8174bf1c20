"""A bundle is whole, unaltered and cannot run code, or it is not loaded."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ratchet.data.cleaning import clean
from ratchet.data.cleaning_params import NO_CLEANING
from ratchet.engines.loading import load
from ratchet.errors import BundleError
from ratchet.files import read_json, sha256_file, write_json
from ratchet.models.bundle import MANIFEST, read_manifest, size_mb, write_bundle
from ratchet.models.tfidf import PACKAGES, fit_pipeline, load_pipeline, save_pipeline, terms
from tests.support.bundles import manifest
from tests.support.tiny import reviews

FACTS = manifest("baseline", kind="tfidf", max_tokens=0)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    frame = reviews(60, 1)
    targets = (frame["label"] == "positive").astype(int).tolist()
    pipeline = fit_pipeline(frame["text"].tolist(), targets, max_ngram=2, inverse_regularization=4.0)
    write_bundle(tmp_path / "baseline", FACTS, lambda folder: save_pipeline(pipeline, folder), PACKAGES)
    return tmp_path / "baseline"


def test_the_baseline_predicts_the_same_to_the_last_bit_after_a_round_trip(tmp_path: Path) -> None:
    frame = reviews(60, 1)
    targets = (frame["label"] == "positive").astype(int).tolist()
    pipeline = fit_pipeline(frame["text"].tolist(), targets, max_ngram=2, inverse_regularization=4.0)
    write_bundle(tmp_path / "b", FACTS, lambda folder: save_pipeline(pipeline, folder), PACKAGES)
    texts = reviews(20, 9)["text"].tolist()
    np.testing.assert_array_equal(load(tmp_path / "b").predict_proba(texts), pipeline.predict_proba(texts))


def test_the_same_model_makes_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    again = read_manifest(bundle)
    write_bundle(tmp_path / "again", FACTS, lambda folder: _copy(bundle, folder), PACKAGES)
    assert read_manifest(tmp_path / "again") == again


def test_a_bundle_of_before_takes_texts_as_they_come(bundle: Path) -> None:
    old = read_json(bundle / MANIFEST)
    del old["cleaning"]
    write_json(bundle / MANIFEST, old)
    assert read_manifest(bundle).cleaning == NO_CLEANING
    raw = ["<b>superb</b> &amp; more"]
    assert clean(raw, read_manifest(bundle).cleaning).texts == raw


def test_terms_of_before_are_those_of_scikit_learn(bundle: Path) -> None:
    old = read_json(bundle / "vocabulary.json")
    del old["words"]
    write_json(bundle / "vocabulary.json", old)
    vectorizer = load_pipeline(bundle).steps[0][1]
    text = "a bus: well-made, 4 me ² बसें"
    assert vectorizer.build_tokenizer()(text) == ["bus", "well", "made", "me", "बस"]
    assert terms(text) == ["bus", "well", "made", "me", "बसें"]


def _copy(bundle: Path, folder: Path) -> None:
    for name in read_manifest(bundle).files:
        (folder / name).write_bytes((bundle / name).read_bytes())


def flip_a_bit(bundle: Path) -> None:
    path = bundle / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def add_a_file(bundle: Path) -> None:
    (bundle / "hook.py").write_text("print('hello')")


def lose_a_file(bundle: Path) -> None:
    (bundle / "vocabulary.json").unlink()


def break_the_manifest(bundle: Path) -> None:
    (bundle / MANIFEST).write_text("{")


def invent_a_key(bundle: Path) -> None:
    write_json(bundle / MANIFEST, {**read_json(bundle / MANIFEST), "loader": "os.system"})


def name_a_path_as_the_kind(bundle: Path) -> None:
    write_json(bundle / MANIFEST, {**read_json(bundle / MANIFEST), "kind": "kinds.torch"})


def name_an_unknown_kind(bundle: Path) -> None:
    write_json(bundle / MANIFEST, {**read_json(bundle / MANIFEST), "kind": "loading"})


def lose_the_manifest(bundle: Path) -> None:
    (bundle / MANIFEST).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_bit, "corrupted"),
        (add_a_file, "does not name"),
        (lose_a_file, "is missing"),
        (break_the_manifest, "manifest is damaged"),
        (invent_a_key, "manifest is damaged"),
        (name_a_path_as_the_kind, "manifest is damaged"),
        (name_an_unknown_kind, "No engine here loads this kind of bundle"),
        (lose_the_manifest, "no model bundle"),
    ],
)
def test_a_damaged_bundle_is_refused(bundle: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(bundle)
    with pytest.raises(BundleError, match=message):
        load(bundle)


def put_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weights": [1.0]}))


def put_torch_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps([1]))


@pytest.mark.parametrize("put", [put_pickle, put_torch_archive])
def test_a_pickle_is_refused_whatever_its_name_even_when_the_manifest_vouches_for_it(
    bundle: Path, put: Callable[[Path], None]
) -> None:
    put(bundle / "extra.bin")
    facts = read_json(bundle / MANIFEST)
    facts["files"]["extra.bin"] = sha256_file(bundle / "extra.bin")
    write_json(bundle / MANIFEST, facts)
    with pytest.raises(BundleError, match="pickle"):
        load(bundle)
    with pytest.raises(BundleError, match="pickle"):
        write_bundle(bundle.with_name("new"), FACTS, lambda folder: put(folder / "model.bin"), ())
    assert not bundle.with_name("new").exists()


def test_a_failure_while_saving_leaves_the_old_bundle_as_it_was(bundle: Path) -> None:
    before = read_manifest(bundle)

    def fail(folder: Path) -> None:
        (folder / "half").write_text("written")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_bundle(bundle, FACTS, fail, ())
    assert read_manifest(bundle) == before
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_size_counts_every_file(bundle: Path) -> None:
    assert size_mb(bundle) == pytest.approx(sum(file.stat().st_size for file in bundle.iterdir()) / 1e6)
