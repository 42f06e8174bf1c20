"""A DVC remote on S3: push, lose the cache, pull, and nothing has to run again. The server is moto's, on loopback.

moto and DVC's S3 client pin different versions of one package, and neither fits the pins of Ratchet: two environments.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry import environment

ROOT = Path(__file__).parents[1]
SERVER, CLIENT = (ROOT / ".venv-s3" / name / "bin" for name in ("server", "client"))
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
PIPELINE = (
    "stages:\n  copy:\n    cmd: cp in.txt out.txt && echo ran >> ran.txt\n    deps: [in.txt]\n    outs: [out.txt]\n"
)


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[str]:
    """The address of an S3 server with the bucket `models`."""
    if not (SERVER / "moto_server").exists() or not (CLIENT / "dvc").exists():
        pytest.skip("no S3 server: make s3-env")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [str(SERVER / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with (tmp_path / "moto.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            _create_bucket(address, "models")
            yield address
        finally:
            server.terminate()


def _create_bucket(address: str, name: str) -> None:
    end = time.monotonic() + 120
    while True:
        try:
            request = urllib.request.Request(f"{address}/{name}", method="PUT")
            with urllib.request.urlopen(request) as answer:
                assert answer.status == 200
        except OSError:
            assert time.monotonic() < end, "the S3 server does not answer"
            time.sleep(0.2)
        else:
            return


@pytest.mark.slow
@pytest.mark.service
def test_what_was_pushed_is_pulled_and_nothing_runs_again(s3: str, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    root.mkdir()

    def dvc(*words: str) -> str:
        done = subprocess.run([str(CLIENT / "dvc"), *words], cwd=root, capture_output=True, text=True, check=False,
                              env={**environment(), **CREDENTIALS, "DVC_NO_ANALYTICS": "1"})  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    dvc("init", "--quiet")
    dvc("remote", "add", "--default", "storage", "s3://models/ratchet")
    dvc("remote", "modify", "storage", "endpointurl", s3)
    (root / "in.txt").write_text("texts\n")
    (root / "dvc.yaml").write_text(PIPELINE)
    dvc("repro")
    assert "1 file pushed" in dvc("push")
    shutil.rmtree(root / ".dvc" / "cache")
    (root / "out.txt").unlink()
    dvc("pull")
    assert (root / "out.txt").read_text() == "texts\n"
    assert "Data and pipelines are up to date" in dvc("repro")
    assert (root / "ran.txt").read_text() == "ran\n"
