"""Which files a path stands for: one, a folder of parts with hive partitions, a glob; and what is left out."""

from __future__ import annotations

import glob
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from ratchet.data.sources.dialect import COMPRESSED, SUFFIXES, Dialect
from ratchet.errors import SourceError

NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""What Hive and Spark call the partition of rows whose value is null."""
_PATH = "correct ingest.source.path in params.yaml; a local one is relative to the repository's root"


class Place(NamedTuple):
    """A file of a source."""

    path: str
    """A local path, or a URL."""
    partition: dict[str, str | None]
    """Columns that stand in the names of its folders, `key=value`, below the source's own."""
    inside: str = ""
    """`<top-level package>/<file inside>` of a file that an installed package carries; empty for others."""

    @property
    def name(self) -> str:
        """What messages, reports and tables call the file: the same on every machine."""
        return self.inside or self.path


class Places(NamedTuple):
    """The files of a source in order, and what lies beside them."""

    files: list[Place]
    left_out: list[tuple[str, str]]
    """Each name with the reason why it is not read."""


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


def find_files(path: str, dialect: Dialect) -> Places:
    """The files that a local file, folder or glob stands for, sorted.

    One that is named is read whatever it is called. A folder gives its files of the dialect's format, also those in
    folders `key=value`; a glob what it matches. Dot files and markers such as `_SUCCESS` are left out, and so are, of a
    folder, files that are no data by their name, and other folders.

    Raises:
        SourceError: there are none, or a data file beside them is of another format or compression.
    """
    root = Path(path)
    if root.is_file():
        return Places([Place(path, {})], [])
    if root.is_dir():
        return of_folder(path, {str(entry): inside for entry, inside in _below(root, "")}, dialect)
    return of_glob(path, sorted(file for file in glob.glob(path, recursive=True) if Path(file).is_file()), dialect)  # noqa: PTH207


def of_folder(path: str, entries: Mapping[str, str], dialect: Dialect) -> Places:
    """The files of a folder, from all that it holds: path or URL → path inside the folder, a folder's with a slash.

    Raises:
        SourceError: as `find_files`.
    """
    files, left_out = [], []
    for name, inside in sorted(entries.items()):
        *folders, last = inside.rstrip("/").split("/")
        if last.startswith((".", "_")):
            left_out.append((name, "a dot file or marker"))
        elif inside.endswith("/"):
            left_out.append((name, "a folder of its own; a glob with ** reads it"))
        elif (kind := kind_of(last)) is None:
            left_out.append((name, "no data file, by its name"))
        else:
            _require_kind(name, kind, dialect)
            files.append(Place(name, _partition(folders)))
    return _some(path, files, left_out, dialect)


def of_glob(path: str, names: Sequence[str], dialect: Dialect) -> Places:
    """The files that a glob matches, from their names.

    Raises:
        SourceError: as `find_files`.
    """
    files, left_out = [], []
    for name in sorted(names):
        if PurePosixPath(_path(name)).name.startswith((".", "_")):
            left_out.append((name, "a dot file or marker"))
        else:
            ending = PurePosixPath(path).suffix  # one that the pattern spells out is meant, whatever it is
            if (kind := kind_of(name)) or not ending or ending != PurePosixPath(_path(name)).suffix:
                _require_kind(name, kind, dialect)
            files.append(Place(name, {}))
    return _some(path, files, left_out, dialect)


def kind_of(name: str) -> tuple[str, str] | None:
    """Format and compression by the endings of a name; None: they speak of neither.

    >>> kind_of("a.csv"), kind_of("a.JSONL.gz"), kind_of("notes.md")
    (('csv', 'none'), ('jsonl', 'gzip'), None)
    """
    path = PurePosixPath(_path(name).lower())
    compression = COMPRESSED.get(path.suffix, "none")
    suffix = path.suffix if compression == "none" else PurePosixPath(path.stem).suffix
    found = next((fmt for fmt, suffixes in SUFFIXES.items() if suffix in suffixes), None)
    return (found, compression) if found else None


def short_names(places: Sequence[Place]) -> list[str]:
    """Names without their endings, or the whole paths where two share one."""
    names = [PurePosixPath(_path(place.path)) for place in places]
    stems = [PurePosixPath(name.stem).stem if name.suffix.lower() in COMPRESSED else name.stem for name in names]
    return stems if len({*stems}) == len(stems) else [place.path for place in places]


def is_partition(name: str) -> bool:
    """Whether a folder of this name holds the rows of one value of a column, as in `key=value`."""
    return "=" in name and not name.startswith((".", "_"))


def _below(folder: Path, inside: str) -> Iterator[tuple[Path, str]]:
    """All that a folder holds and what lies in its partitions, each with its path inside; a folder's with a slash."""
    for entry in folder.iterdir():
        if entry.is_dir() and is_partition(entry.name):
            yield from _below(entry, f"{inside}{entry.name}/")
        else:
            yield entry, f"{inside}{entry.name}{'/' * entry.is_dir()}"


def _partition(folders: Sequence[str]) -> dict[str, str | None]:
    pairs = (folder.partition("=") for folder in folders)
    return {unquote(key): None if value in (NO_PARTITION, "") else unquote(value) for key, _, value in pairs}


def _require_kind(name: str, kind: tuple[str, str] | None, dialect: Dialect) -> None:
    wanted = (dialect.format, getattr(dialect, "compression", "none"))
    if kind == wanted:
        return
    endings = [f"{suffix}{end}" for suffix in SUFFIXES[dialect.format] for end in _endings(wanted[1])]
    if kind is None:
        what = "The format of the file is not known."
    else:
        what = "The source holds a file of another format or compression than its dialect says."
    raise SourceError(
        what,
        where=name,
        got=" ".join(kind) if kind else PurePosixPath(_path(name)).suffix or "no suffix",
        expected=", ".join(endings),
        fix="move the file elsewhere or convert it; or name those that are meant by a glob in ingest.source.path",
    )


def _endings(compression: str) -> list[str]:
    return [end for end, name in COMPRESSED.items() if name == compression] or [""]


def _some(path: str, files: list[Place], left_out: list[tuple[str, str]], dialect: Dialect) -> Places:
    if not files:
        folder = path.endswith("/") or Path(path).is_dir()
        raise SourceError(
            "There is no data file.",
            where=f"ingest.source.path = {path}",
            got=", ".join(name for name, _ in left_out[:5]) or ("an empty folder" if folder else "nothing"),
            expected=f"a file, a folder or a glob of files ending in {', '.join(SUFFIXES[dialect.format])}",
            fix=_PATH,
        )
    return Places(files, left_out)


def _path(place: str) -> str:
    return urlsplit(place).path if place.startswith(("http://", "https://")) else place
