"""The step that embeds: every text of every side once, chunks or not, the same bytes again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_steps import embed
from ratchet.data.splits import SIDES
from ratchet.embeddings.table import read_embeddings
from ratchet.files import read_json, sha256_file
from ratchet.table_files import write_table
from ratchet.tables import SPLIT
from tests.support.params import write_params
from tests.support.tiny import reviews, tiny_backbone

pytestmark = pytest.mark.slow
VALUES: dict[str, Any] = {
    "backbones": [{"source": "backbone", "sha256": ""}],
    "max_tokens": 32,
    "batch_size": 4,
    "n_threads": 1,
}


def test_chunks_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_backbone(tmp_path / "backbone")
    texts = dict(zip(reviews(11, 1)["id"], reviews(11, 1)["text"], strict=True))
    ((ids, whole),) = embed.run(texts, folder, embed.Params(**VALUES))
    monkeypatch.setattr(embed, "CHUNK", 4)
    chunks = list(embed.run(texts, folder, embed.Params(**VALUES)))
    assert [len(chunk) for chunk, _ in chunks] == [4, 4, 3]
    assert [key for chunk, _ in chunks for key in chunk] == ids == list(texts)
    np.testing.assert_allclose(np.concatenate([rows for _, rows in chunks]), whole, atol=1e-5)


def test_main_embeds_every_side_and_writes_the_same_bytes_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_backbone(tmp_path / "backbone")
    write_params(embed.Params, "embed", VALUES)
    for number, side in enumerate(SIDES):
        frame = reviews(6 + number, number)
        write_table(Path(f"data/splits/{side}.parquet"), frame.assign(label=None) if side == "test" else frame, SPLIT)
    embed.main()
    hashes = {path: sha256_file(Path(path)) for path in embed.WRITES.values()}
    for number, side in enumerate(SIDES):
        rows = read_embeddings(Path(embed.WRITES["embeddings"]), reviews(6 + number, number)["id"].tolist())
        assert np.isfinite(rows).all(), side
        assert (np.abs(rows).sum(axis=1) > 0).all(), side
    report = read_json(Path(embed.WRITES["report"]))
    assert (report["n_texts"], report["rows"]["transfer"], report["hidden"]) == (30, 9, 32)
    embed.main()
    assert {path: sha256_file(Path(path)) for path in embed.WRITES.values()} == hashes
