"""Files behind a URL that fsspec knows (S3, GCS, HTTP): which there are, and a local copy of one while it is read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ratchet.data.sources.dialect import Dialect
from ratchet.data.sources.places import Place, Places, is_partition, of_folder, of_glob
from ratchet.errors import MissingExtraError, SourceError

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""Protocol of a URL → the extra that reads it."""


def is_url(path: str) -> bool:
    """Whether the path names a protocol, as in `s3://bucket/key`."""
    return "://" in path


def find_urls(path: str, dialect: Dialect) -> Places:
    """The URLs of the data files that a URL, a URL ending in a slash or one with `*` stands for, sorted.

    Raises:
        SourceError: there are none, it cannot be reached, or a data file among them is of another format.
        MissingExtraError: the package for this protocol is not installed.
    """
    with _remote(path):
        system = _file_system(path)
        if path.endswith("/"):
            return of_folder(path, dict(_below(system, path, "")), dialect)
        if "*" in path:
            return of_glob(path, [system.unstrip_protocol(name) for name in system.glob(path)], dialect)
    return Places([Place(path, {})], [])


@contextmanager
def local_copy(place: str) -> Iterator[Path]:
    """A local file with the bytes of `place`: itself, or a temporary copy of what a URL gives."""
    if not is_url(place):
        yield Path(place)
        return
    with tempfile.TemporaryDirectory(prefix="ratchet-") as folder:
        file = Path(folder) / "fetched"
        with _remote(place):
            _file_system(place).get_file(place, str(file))
        yield file


def _below(system: Any, folder: str, inside: str) -> Iterator[tuple[str, str]]:
    """The URLs of all that a folder holds and of what lies in its partitions, each with its path inside."""
    base = str(system._strip_protocol(folder)).rstrip("/") + "/"
    for entry in system.ls(folder, detail=True):
        path = str(entry["name"])
        name = path.removeprefix(base).rstrip("/")
        if not path.startswith(base) or not name or "/" in name:
            continue  # of a listing over HTTP: a link to elsewhere
        url = str(system.unstrip_protocol(path)).rstrip("/")
        is_folder = entry["type"] == "directory" or path.endswith("/")
        if is_folder and is_partition(name):
            yield from _below(system, f"{url}/", f"{inside}{name}/")
        else:
            yield url, f"{inside}{name}{'/' * is_folder}"


def _file_system(url: str) -> Any:
    import fsspec

    return fsspec.core.url_to_fs(url)[0]


@contextmanager
def _remote(url: str) -> Iterator[None]:
    """Every failure of a provider's library as one message; they share no base class but Exception."""
    protocol = url.partition("://")[0]
    try:
        yield
    except SourceError:
        raise
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
