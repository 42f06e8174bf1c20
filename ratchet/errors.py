"""Everything that can go wrong, on one screen.

RatchetError
├── ParamsError            params.yaml: unknown key, wrong type, out of range
├── SourceError            a data source: missing, unreadable, wrong checksum
├── TableError             a table: missing column, wrong type, unknown label
├── ValidationError        data that must not be trained on
├── BundleError            a bundle: corrupted, unsafe, of an unknown kind
├── TrainingError          a loss that is not a number, nothing to learn from
├── MissingExtraError      a package that is not installed
├── PipelineError          a stage that failed, a workspace that is locked
├── ReleaseError           a release that does not hold, an audit log that was altered
└── ScoreError             an output folder of another run, a source that changed while it was scored
"""

from __future__ import annotations


class RatchetError(Exception):
    """One clear message: what happened, where, what was found, what was expected, what to do."""

    def __init__(
        self, what: str, *, where: object = "", got: object = "", expected: object = "", fix: str = ""
    ) -> None:
        self.what, self.where, self.got, self.expected, self.fix = what, where, got, expected, fix
        details = {"where": where, "got": got, "expected": expected, "what to do": fix}
        lines = [f"  {name}: {value}" for name, value in details.items() if value != ""]
        super().__init__("\n".join([what, *lines]))


class ParamsError(RatchetError):
    """A value in params.yaml that is unknown, of the wrong type or out of range."""


class SourceError(RatchetError):
    """A data source that is missing, unreadable or not the one that was pinned."""


class TableError(RatchetError):
    """A table whose columns, types or values break its declaration."""


class ValidationError(RatchetError):
    """Data that must not be trained on."""


class BundleError(RatchetError):
    """A model bundle that is corrupted, unsafe or of an unknown kind."""


class TrainingError(RatchetError):
    """Training that cannot start or cannot go on."""


class MissingExtraError(RatchetError):
    """A package this needs is not installed."""


class PipelineError(RatchetError):
    """A stage that failed, or a workspace that cannot be run in."""


class ReleaseError(RatchetError):
    """A release, approval or signature that does not hold, or an audit log that was altered."""


class ScoreError(RatchetError):
    """Scores that cannot be written, or would not be those of the rest of their folder."""
