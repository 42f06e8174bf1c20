"""Ratchet and two independent readers of each format: equal or refused, never different."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings

from benchmarks.source_files import SourceFile, differences_of, source_files
from benchmarks.source_readers import answers


@pytest.mark.filterwarnings("ignore::pandas.errors.ParserWarning")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=source_files())
def test_a_file_is_read_as_two_others_read_it_or_refused(tmp_path: Path, file: SourceFile) -> None:
    """A hundred files a run; `make fuzz-sources` reads 200,000."""
    path = tmp_path / "source"
    path.write_bytes(file.content)
    found = answers(path, file.dialect)
    verdict = "refused" if found["Ratchet"] is None else "read"
    event(f"{file.dialect.format}: {verdict}{', damaged' if file.rows is None else ''}")
    assert differences_of(file, found) == []
