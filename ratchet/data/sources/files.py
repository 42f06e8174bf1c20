"""Files as a source: carried by a package, local, or behind a URL that fsspec knows (S3, GCS, HTTP)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, model_validator

from ratchet.data.sources.dialect import Dialect
from ratchet.data.sources.formats import read_file
from ratchet.data.sources.places import Place, Places, find_files, find_packaged, short_names
from ratchet.data.sources.reading import Reading
from ratchet.data.sources.remote import find_urls, is_url, local_copy
from ratchet.data.sources.rows import BATCH_ROWS, Batch, frame_of, require_rows, require_sha256
from ratchet.files import sha256_file
from ratchet.params import Params

_SECRET = re.compile(r"passw|pwd|secret|token|signature|^sig$|credential|key", re.IGNORECASE)


class PackagedSource(Params):
    """A file carried by an installed package, none of whose code is run."""

    kind: Literal["packaged"]
    """This kind."""
    path: str = Field(min_length=1)
    """`<top-level package>/<file inside>`."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """SHA-256 of the file."""
    dialect: Dialect
    """How its bytes become records: format, compression, encoding, delimiter and so on."""
    max_bad_rows: int = Field(ge=0)
    """Records that may be set aside because they cannot be read exactly; the next one stops the run."""

    @property
    def local_path(self) -> str:
        """What DVC has to watch; empty: nothing that it could."""
        return ""


class FilesSource(Params):
    """CSV, JSONL or Parquet files of your own, all of one dialect."""

    kind: Literal["files"]
    """This kind."""
    path: str = Field(min_length=1)
    """A file, folder or glob, relative to the repository's root; or a URL of one (s3://, gs://, https://), a folder's
    ending in a slash. Credentials come from the environment, as the provider's own tools take them."""
    sha256: str = Field(pattern="^([0-9a-f]{64})?$")
    """SHA-256 of the file, or of the joined hashes of the sorted files; empty: not pinned."""
    dialect: Dialect
    """How the bytes of each file become records: format, compression, encoding, delimiter and so on."""
    max_bad_rows: int = Field(ge=0)
    """Records that may be set aside because they cannot be read exactly, in all files together; the next one stops
    the run."""

    @model_validator(mode="after")
    def _no_secret(self) -> Self:
        if secret := secret_in_url(self.path):
            raise ValueError(f"the URL holds a {secret}: it would be written to dvc.lock and to reports")
        return self

    @property
    def local_path(self) -> str:
        """What DVC has to watch; empty: nothing that it could."""
        return "" if is_url(self.path) else self.path


def secret_in_url(url: str) -> str:
    """What in the URL must not be written down: `password`, or the name of a query parameter; empty: nothing.

    >>> secret_in_url("https://a.org/b?page=1"), secret_in_url("https://a.org/b?X-Amz-Signature=f")
    ('', 'X-Amz-Signature')
    """
    if not is_url(url):
        return ""
    parts = urlsplit(url)
    if parts.password:
        return "password"
    return next((name for name, _ in parse_qsl(parts.query) if _SECRET.search(name)), "")


def read_files(source: PackagedSource | FilesSource, columns: Sequence[str], reading: Reading) -> Iterator[Batch]:
    """Every file's rows in batches, file after file; a file of several may be empty.

    A remote file is fetched to a temporary one and removed once read: memory stays flat in every format, and its hash
    is that of the very bytes that were read.

    Args:
        source: which files.
        columns: the columns to read, each once; the partitions of a folder are columns as well.
        reading: the pass, which receives the tally of each file, and the hash when the last batch is out.

    Raises:
        SourceError: a file is missing, unreadable, or not the one that was pinned; none has rows; or more records
            cannot be read exactly than `source.max_bad_rows` allows.
        MissingExtraError: the package for the URL's protocol is not installed.
    """
    places = find_places(source)
    reading.left_out += places.left_out
    remote = is_url(places.files[0].path)
    if not remote:
        reading.sha256 = check_sha256([Path(place.path) for place in places.files], source.sha256)
    hashes = []
    for name, place in zip(short_names(places.files), places.files, strict=True):
        with local_copy(place.path) as file:
            if remote:
                hashes.append(sha256_file(file))
            yield from _read(file, name, place, source.dialect, columns, reading)
    if hashes:
        require_sha256(source.path, _joined(hashes), source.sha256)
        reading.sha256 = _joined(hashes)
    require_rows(source.path, reading.n_rows)


def find_places(source: PackagedSource | FilesSource) -> Places:
    """The files of a source, and what is left out.

    Raises:
        SourceError: there are none.
        MissingExtraError: the package for the URL's protocol is not installed.
    """
    if isinstance(source, PackagedSource):
        return Places([Place(str(find_packaged(source.path)), {}, source.path)], [])
    return (find_urls if is_url(source.path) else find_files)(source.path, source.dialect)


def _read(
    file: Path, name: str, place: Place, dialect: Dialect, columns: Sequence[str], reading: Reading
) -> Iterator[Batch]:
    first_row, unit = 0, "row" if dialect.format == "parquet" else "line"
    stored = [column for column in columns if column not in place.partition]
    for rows in read_file(file, dialect, stored, reading, place.name, BATCH_ROWS):
        n_rows = len(rows.lines)
        values = rows.columns | {key: [value] * n_rows for key, value in place.partition.items() if key in columns}
        frame = frame_of({column: values[column] for column in columns})
        yield Batch(name, first_row, frame, place.name, rows.lines, unit, rows.bad)
        first_row += n_rows


def check_sha256(files: Sequence[Path], pinned: str) -> str:
    """SHA-256 of local files: of the only one, or of the joined hashes of all in order.

    Raises:
        SourceError: it is not the pinned one; empty: not pinned.
    """
    got = _joined([sha256_file(file) for file in files])
    require_sha256(files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more", got, pinned)
    return got


def _joined(hashes: Sequence[str]) -> str:
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
