"""Files as a source: carried by a package, local, or behind a URL that fsspec knows (S3, GCS, HTTP)."""

from __future__ import annotations

import glob
import hashlib
import importlib.util
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, model_validator

from ratchet.data.sources.dialect import Dialect
from ratchet.data.sources.formats import FORMATS, read_file
from ratchet.data.sources.rows import Batch, require_sha256
from ratchet.errors import MissingExtraError, SourceError
from ratchet.files import sha256_file
from ratchet.params import Params

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""Protocol of a URL → the extra that reads it."""
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
    """CSV, TSV, JSONL or Parquet files of your own."""

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


def is_url(path: str) -> bool:
    """Whether the path names a protocol, as in `s3://bucket/key`."""
    return "://" in path


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


def find_packaged(path: str) -> Path:
    """The file `<top-level package>/<file inside>` of an installed package, of which no code is run.

    Raises:
        SourceError: the package is not installed, or holds no such file.
    """
    package, _, inside = path.partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise SourceError(
            "The package that carries the data is not installed.",
            where=f"ingest.source.path = {path}",
            got=package,
            expected="<top-level package>/<file inside>",
            fix="install the package, or correct ingest.source.path in params.yaml",
        )
    found = [Path(folder) / inside for folder in folders if inside and (Path(folder) / inside).is_file()]
    if not found:
        raise SourceError(
            "The package holds no such file.",
            where=f"ingest.source.path = {path}",
            got=inside or "no path inside it",
            expected="<top-level package>/<file inside>",
            fix="correct ingest.source.path in params.yaml",
        )
    return found[0]


def find_files(path: str) -> list[Path]:
    """The data files that a local file, folder or glob stands for, sorted; a folder gives those of a known format.

    Raises:
        SourceError: there are none, or one is in a format that is not known.
    """
    root = Path(path)
    if root.is_dir():
        files = sorted(file for file in root.iterdir() if file.suffix.lower() in FORMATS)
    else:
        files = sorted(file for file in map(Path, glob.glob(path, recursive=True)) if file.is_file())  # noqa: PTH207
        if root.is_file() and not files:
            files = [root]  # a name that reads as a glob
    _require_known(path, [str(file) for file in files])
    return files


def find_urls(path: str) -> list[str]:
    """The URLs of the data files that a URL, a URL ending in a slash or one with `*` stands for, sorted.

    Raises:
        SourceError: there are none, it cannot be reached, or one is in a format that is not known.
        MissingExtraError: the package for this protocol is not installed.
    """
    with _remote(path):
        system = _file_system(path)
        if path.endswith("/"):
            # of a listing, what is not below the folder is a link to elsewhere
            found = [str(name) for name in system.ls(path, detail=False)]
            urls = sorted(system.unstrip_protocol(name) for name in found if _suffix(name) in FORMATS)
        elif "*" in path:
            urls = sorted(system.unstrip_protocol(name) for name in system.glob(path))
        else:
            urls = [path]
    _require_known(path, urls)
    return urls


def read_files(source: PackagedSource | FilesSource, columns: Sequence[str], origin: dict[str, Any]) -> Iterator[Batch]:
    """Every file's rows in batches, file after file.

    A remote file is fetched to a temporary one and removed once read: memory stays flat in every format, and its hash
    is that of the very bytes that were read.

    Args:
        source: which files.
        columns: the columns to read, each once.
        origin: receives `n_files` and `sha256` when the last batch is out.

    Raises:
        SourceError: a file is missing, unreadable, or not the one that was pinned.
        MissingExtraError: the package for the URL's protocol is not installed.
    """
    if isinstance(source, FilesSource) and is_url(source.path):
        places = find_urls(source.path)
    else:
        files = [find_packaged(source.path)] if source.kind == "packaged" else find_files(source.path)
        origin |= {"n_files": len(files), "sha256": check_sha256(files, source.sha256)}
        places = [str(file) for file in files]
    hashes = []
    for name, place in zip(_names(places), places, strict=True):
        with _local(place) as file:
            if is_url(place):
                hashes.append(sha256_file(file))
            first_row = 0
            for frame in read_file(file, columns, place):
                yield Batch(name, first_row, frame)
                first_row += len(frame)
    if hashes:
        require_sha256(source.path, _joined(hashes), source.sha256)
        origin |= {"n_files": len(places), "sha256": _joined(hashes)}


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


def _names(places: Sequence[str]) -> list[str]:
    """Names without suffix, or the whole places where two share one."""
    stems = [PurePosixPath(_path(place)).stem for place in places]
    return stems if len({*stems}) == len(stems) else list(places)


def _path(place: str) -> str:
    return urlsplit(place).path if place.startswith(("http://", "https://")) else place


def _suffix(place: str) -> str:
    return PurePosixPath(_path(place)).suffix.lower()


def _require_known(path: str, places: Sequence[str]) -> None:
    if not places:
        raise SourceError(
            "There is no data file.",
            where=f"ingest.source.path = {path}",
            got="a folder without any" if path.endswith("/") or Path(path).is_dir() else "nothing",
            expected=f"a file, a folder or a glob of files ending in {', '.join(FORMATS)}",
            fix="correct ingest.source.path in params.yaml; a local one is relative to the repository's root",
        )
    for place in places:
        if _suffix(place) not in FORMATS:
            raise SourceError(
                "The format of the file is not known.",
                where=place,
                got=_suffix(place) or "no suffix",
                expected=", ".join(FORMATS),
                fix="convert the file, or name one of these formats",
            )


def _file_system(url: str) -> Any:
    import fsspec

    return fsspec.core.url_to_fs(url)[0]


@contextmanager
def _local(place: str) -> Iterator[Path]:
    """A local file with the bytes of `place`: itself, or a temporary copy of what a URL gives."""
    if not is_url(place):
        yield Path(place)
        return
    with tempfile.TemporaryDirectory(prefix="ratchet-") as folder:
        file = Path(folder) / f"fetched{_suffix(place)}"
        with _remote(place):
            _file_system(place).get_file(place, str(file))
        yield file


@contextmanager
def _remote(url: str) -> Iterator[None]:
    """Every failure of a provider's library as one message; they share no base class but Exception."""
    protocol = url.partition("://")[0]
    try:
        yield
    except FileNotFoundError:
        raise SourceError(
            "There is no such file or folder.", where=url, fix="correct ingest.source.path in params.yaml"
        ) from None
    except (ImportError, ValueError) as error:
        if protocol not in EXTRAS:
            raise SourceError(
                "The URL cannot be read.",
                where=url,
                got=error,
                expected="s3://, gs:// or https://",
                fix="correct ingest.source.path in params.yaml",
            ) from None
        raise MissingExtraError(
            f"Reading {protocol}:// needs a package that is not installed.",
            where=url,
            got=error,
            fix=f"pip install -c constraints.txt -e '.[{EXTRAS[protocol]}]'",
        ) from None
    except Exception as error:
        raise SourceError(
            "The source cannot be reached.",
            where=url,
            got=f"{type(error).__name__}: {error}",
            fix="check the address, the network and the credentials in the environment, then run again",
        ) from None
