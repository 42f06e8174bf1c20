"""A real server in a process of its own, on a free port of loopback, with a miniature bundle."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from ruamel.yaml import YAML

from ratchet.models.bundle import write_bundle
from ratchet.models.tfidf import PACKAGES, fit_pipeline, save_pipeline
from ratchet.serving.auth import SCOPES, Scope, add_key
from ratchet.serving.settings import LIVE_FILE
from tests.support.bundles import manifest
from tests.support.tiny import BLAME, PRAISE


def word_bundle(
    path: Path,
    name: str = "words",
    praise: Sequence[str] = PRAISE,
    blame: Sequence[str] = BLAME,
    cleaning: dict[str, Any] | None = None,
) -> Path:
    """A bundle of single words: the first list is positive, the second negative; its texts cleaned as given."""
    pipeline = fit_pipeline(
        [*praise, *blame], [1] * len(praise) + [0] * len(blame), max_ngram=1, inverse_regularization=100.0
    )
    made = manifest(name, kind="tfidf", max_tokens=0, cleaning=cleaning or {})
    write_bundle(path, made, lambda folder: save_pipeline(pipeline, folder), PACKAGES)
    return path


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    url: str
    client: httpx.Client
    """Sends a key with all scopes."""
    process: subprocess.Popen[str]
    folder: Path
    """Where its files are: log.db, keys.json, access.jsonl, experiment.json, champion.json."""

    @property
    def log_url(self) -> str:
        """The database of its log."""
        return f"sqlite:///{self.folder}/log.db"

    def key(self, *scopes: Scope, per_minute: int = 100_000, days: int = 1) -> dict[str, str]:
        """The header of a new key."""
        secret = add_key(self.folder / "keys.json", "test", scopes, days, per_minute, datetime.now(UTC))[1]
        return {"Authorization": f"Bearer {secret}"}


@contextmanager
def serving(
    folder: Path,
    *arguments: str,
    stdout: int | None = None,
    before: Callable[[], object] = lambda: None,
    log_url: str = "",
    python: str = sys.executable,
    **changes: Any,
) -> Iterator[Running]:
    """A server with the settings of the repository, its files in `folder`, and these changes of the block serve.

    `before` is called once the files are there, and before the server starts.

    Its standard error is read up to its first line, and then by nobody until it ends.
    """
    yaml = YAML(typ="safe", pure=True)
    settings = yaml.load(LIVE_FILE.read_text())
    settings["log"] |= {"url": log_url or f"sqlite:///{folder}/log.db", "folder": f"{folder}/log", "interval_ms": 20}
    settings["serve"] |= {
        "port": 0,
        "key_file": f"{folder}/keys.json",
        "access_log": f"{folder}/access.jsonl",
        "registry": "off",
        "experiment": f"{folder}/experiment.json",
        "pointer": f"{folder}/champion.json",
        "watch_s": 0.1,
        **changes,
    }
    with (folder / "live.yaml").open("w") as file:
        yaml.dump(settings, file)
    secret = add_key(folder / "keys.json", "all", SCOPES, 1, 1_000_000, datetime.now(UTC))[1]
    before()
    command = [python, "-m", "ratchet", "serve", "--settings", str(folder / "live.yaml"), *arguments]
    with subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if match := re.search(r"serves on (http://\S+),", line):
                break
        else:
            raise AssertionError("".join(lines))
        try:
            headers = {"Authorization": f"Bearer {secret}"}
            with httpx.Client(base_url=match[1], headers=headers, timeout=60) as client:
                yield Running(match[1], client, process, folder)
        finally:
            process.terminate()
            process.communicate(timeout=60)
