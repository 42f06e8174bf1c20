"""What a bundle says of rows: probabilities, label, confidence and flags, and the words behind it where asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ratchet.data.cleaning import clean, text_id
from ratchet.data.languages import UNDETERMINED, languages
from ratchet.data.personal_data import mask_personal_data
from ratchet.engines.loading import load
from ratchet.models.bundle import Manifest
from ratchet.models.predictor import Predictor, TokenPredictor
from ratchet.trust.attributions import attribute
from ratchet.trust.lockstep import cached_score

if TYPE_CHECKING:
    import pandas as pd

BATCH_SIZES = (16, 32, 128)
"""Texts a forward pass that are tried where a table is worth it."""
N_TRIED, N_ROUNDS = 512, 3
"""Texts of the trial of batch sizes, and how often each takes its turn."""
BAND = 0.03
"""Batch sizes whose times differ by less are equal: the smallest is taken."""


@dataclass(frozen=True)
class Asked:
    """What is asked of each row beside its probabilities."""

    text_column: str
    keep: tuple[str, ...]
    """Columns of the source that are carried along, personal data masked."""
    languages: tuple[str, ...]
    """Of the task (ISO 639-1); texts in others are flagged. Empty: no text is."""
    unsure_below: float
    """Confidence below which a text is of another domain, as the audit measured it; 0: it measured none."""
    explain_rate: float
    """Share of the rows whose words are explained, the same whenever the table is scored."""
    explain_below: float
    """Confidence below which a row's words are explained."""
    max_evals: int
    """Masked texts that an explanation may take."""

    @property
    def explains(self) -> bool:
        """Whether any row is explained."""
        return self.explain_rate > 0 or self.explain_below > 0


class Scorer:
    """A loaded bundle, and what it is asked."""

    def __init__(self, predictor: Predictor, manifest_sha256: str, asked: Asked) -> None:
        self.predictor, self._sha256, self._asked = predictor, manifest_sha256, asked

    def rows(self, frame: pd.DataFrame, first_row: int) -> pd.DataFrame:
        """A row of scores for each row of the source, in its order.

        Args:
            frame: the text column and those that are kept, as strings; missing values are null.
            first_row: number of the first row in the whole source.

        Columns: `row`; `id`, by which the text is known elsewhere; the kept columns; `label`, `confidence` and
        `proba_CLASS`, null where there is no text; the flags `other_language`, `too_long` (what lies beyond the
        model's limit was not read) and, where it was measured, `other_domain`; `bundle`, the hash of the manifest.
        """
        import pandas as pd

        manifest, asked = self.predictor.manifest, self._asked
        given = [value if isinstance(value, str) else "" for value in frame[asked.text_column].tolist()]
        texts = clean(given, manifest.cleaning).texts
        there = np.array([bool(text.strip()) for text in texts], dtype=bool)
        read = [text for text, is_there in zip(texts, there, strict=True) if is_there]
        proba, too_long = self._predict(read)
        found = pd.DataFrame({"row": np.arange(first_row, first_row + len(frame), dtype=np.int64)})
        found["id"] = pd.Series([text_id(text) if text else None for text in texts], dtype="str")
        for name in asked.keep:
            found[name] = pd.Series([_masked(value, manifest) for value in frame[name].tolist()], dtype="str")
        confidence = spread(proba.max(axis=1), there)
        names = np.array(self.predictor.labels, dtype=object)[proba.argmax(axis=1)]
        found["label"] = pd.Series(spread_objects(names, there), dtype="str")
        found["confidence"] = confidence
        for place, label in enumerate(self.predictor.labels):
            found[f"proba_{label}"] = spread(proba[:, place], there)
        told = languages(read) if asked.languages else []
        other = np.array([name not in (*asked.languages, UNDETERMINED) for name in told], dtype=bool)
        found["other_language"] = mark(other if len(other) else np.zeros(len(read), dtype=bool), there)
        found["too_long"] = mark(too_long, there)
        if asked.unsure_below:
            found["other_domain"] = there & (np.nan_to_num(confidence, nan=1.0) < asked.unsure_below)
        found["bundle"] = pd.Series([self._sha256] * len(found), dtype="str")
        return found

    def words(self, frame: pd.DataFrame, scored: pd.DataFrame) -> pd.DataFrame:
        """Of the rows that are to be explained a row a word: `row`, `place` in the text, `word`, `label` that was
        predicted, and `value`, its SHAP value towards it in `unit`."""
        import pandas as pd

        asked, manifest = self._asked, self.predictor.manifest
        ids = scored["id"].tolist()
        unsure = scored["confidence"].lt(asked.explain_below).to_numpy()
        wanted = scored["confidence"].notna().to_numpy() & (
            unsure | np.array([_is_sampled(key, asked.explain_rate) for key in ids], dtype=bool)
        )
        chosen = frame[asked.text_column].to_numpy(dtype=object)[wanted]
        texts = [
            mask_personal_data(text, manifest.cleaning.regions)[0] for text in clean(chosen, manifest.cleaning).texts
        ]
        found = attribute(self.predictor, cached_score(self.predictor), texts, asked.max_evals)
        table: dict[str, list[Any]] = {name: [] for name in ("row", "place", "word", "label", "value", "unit")}
        for row, item in zip(scored["row"].to_numpy()[wanted].tolist(), found, strict=True):
            label = self.predictor.labels[item.predicted]
            for place, (word, values) in enumerate(zip(item.words, item.values, strict=True)):
                told = (row, place, word, label, float(values[item.predicted]), item.unit)
                for name, value in zip(table, told, strict=True):
                    table[name].append(value)
        return pd.DataFrame(table).astype({"row": "int64", "place": "int64", "value": "float64"})

    def _predict(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Probabilities, (n, n_classes), and which texts are longer than the model reads, (n,)."""
        if not isinstance(self.predictor, TokenPredictor):
            return self.predictor.predict_proba(texts), np.zeros(len(texts), dtype=bool)
        encodings = self.predictor.tokenizer.encode_batch_fast(list(texts))
        proba = self.predictor.predict_proba_tokens([encoding.ids for encoding in encodings])
        return proba, np.array([bool(encoding.overflowing) for encoding in encodings], dtype=bool)


def spread(values: NDArray[np.float64], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The values at the places that are there, NaN elsewhere.

    >>> spread(np.array([0.5]), np.array([False, True])).tolist()
    [nan, 0.5]
    """
    found = np.full(len(there), np.nan)
    found[there] = values
    return found


def spread_objects(values: NDArray[Any], there: NDArray[np.bool_]) -> list[Any]:
    """The same of any values, None elsewhere."""
    found = np.full(len(there), None, dtype=object)
    found[there] = values
    return found.tolist()


def mark(values: NDArray[np.bool_], there: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The same of flags, false elsewhere."""
    found = np.zeros(len(there), dtype=bool)
    found[there] = values
    return found


def batch_size_for(
    bundle: Path, texts: Sequence[str], n_threads: int, clock: Callable[[], float] = time.perf_counter
) -> int:
    """The batch size with which this machine scores such texts fastest: each in turn, the least time counts."""
    predictors = {size: load(bundle, n_threads, size) for size in BATCH_SIZES}
    sample = texts[:: max(1, len(texts) // N_TRIED)][:N_TRIED]
    least = dict.fromkeys(predictors, float("inf"))
    for _ in range(N_ROUNDS):
        for size, predictor in predictors.items():
            began = clock()
            predictor.predict_proba(sample)
            least[size] = min(least[size], clock() - began)
    return min(size for size in least if least[size] <= (1 + BAND) * min(least.values()))


def _masked(value: Any, manifest: Manifest) -> str | None:
    return mask_personal_data(value, manifest.cleaning.regions)[0] if isinstance(value, str) else None


def _is_sampled(key: str | None, rate: float) -> bool:
    """Whether the text of this id, a hash, is in the sample: the same texts whenever it is asked."""
    return isinstance(key, str) and int(key, 16) < rate * 16 ** len(key)
