"""Buckets on S3 and on Google Cloud Storage: `ingest` reads from them, and DVC keeps in them what a run made.

The servers are moto and gcp-storage-emulator, on loopback. moto and DVC's S3 client pin different versions of one
package, and a cloud's client is an extra: so each cloud has one environment for its server and one for its client.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline_steps import ingest
from ratchet.data.sources.dialect import CSV
from ratchet.files import read_json, sha256_file
from ratchet.table_files import read_table
from ratchet.tables import CORPUS
from tests.support.params import write_params
from tests.support.registry import environment

pytestmark = [pytest.mark.slow, pytest.mark.service]
ROOT = Path(__file__).parents[2]
BUCKET = "models"
PIPELINE = (
    "stages:\n  copy:\n    cmd: cp in.txt out.txt && echo ran >> ran.txt\n    deps: [in.txt]\n    outs: [out.txt]\n"
)
ROWS = {"text": ["a fine film", "a bad film<br />", "never again"], "label": ["1", "0", "0"]}
PUT = "import fsspec, sys; fsspec.filesystem(sys.argv[1]).put(sys.argv[2], sys.argv[3], recursive=True)"


@dataclass(frozen=True)
class Cloud:
    """A server on loopback, and what a client is told of it."""

    protocol: str
    """Of its URLs."""
    make: str
    """What makes its environments, `.venv-NAME/server` and `.venv-NAME/client`."""
    server: list[str]
    """The server's program and options, without its port."""
    environ: dict[str, str]
    """The client's environment; `{address}` is the server's."""
    remote: list[str]
    """Options of DVC's remote, name=value."""

    def bin(self, side: str) -> Path:
        return ROOT / f".venv-{self.make.removesuffix('-env')}" / side / "bin"


S3 = Cloud(
    "s3",
    "s3-env",
    ["moto_server", "-H", "127.0.0.1", "-p"],
    {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": "{address}",
    },
    ["endpointurl={address}"],
)
GCS = Cloud(
    "gs",
    "gcs-env",
    ["gcp-storage-emulator", "start", "--in-memory", "--host", "127.0.0.1", "--port"],
    # the emulator speaks no gRPC, by which the client would ask for the kind of the bucket
    {"STORAGE_EMULATOR_HOST": "{address}", "NO_GCE_CHECK": "true", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"},
    ["endpointurl={address}", "allow_anonymous_login=true"],
)


class Client:
    """Programs of a cloud's client environment, run in a folder."""

    def __init__(self, cloud: Cloud, address: str) -> None:
        self.cloud, self.address = cloud, address

    def run(self, folder: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        environ = {name: value.format(address=self.address) for name, value in self.cloud.environ.items()}
        return subprocess.run(
            [str(self.cloud.bin("client") / program), *words],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env={**environment(), **environ, "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"},
        )

    def must(self, folder: Path, program: str, *words: str) -> str:
        done = self.run(folder, program, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module", params=[S3, GCS], ids=lambda cloud: str(cloud.protocol))
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a cloud's server, which has an empty bucket."""
    cloud: Cloud = request.param
    program, *options = cloud.server
    if not (cloud.bin("server") / program).exists() or not (cloud.bin("client") / "dvc").exists():
        pytest.skip(f"no server for {cloud.protocol}://: make {cloud.make}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [str(cloud.bin("server") / program), *options, str(port)]
    log = tmp_path_factory.mktemp(cloud.protocol) / "server.log"
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        try:
            _create_bucket(cloud, address)
            yield Client(cloud, address)
        finally:
            server.terminate()


def _create_bucket(cloud: Cloud, address: str) -> None:
    """In each cloud's own words, as soon as its server answers."""
    if cloud is S3:
        request = urllib.request.Request(f"{address}/{BUCKET}", method="PUT")
    else:
        request = urllib.request.Request(
            f"{address}/storage/v1/b?project=test",
            json.dumps({"name": BUCKET}).encode(),
            {"Content-Type": "application/json"},
        )
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request) as answer:
                assert answer.status == 200
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert time.monotonic() < end, f"the server of {cloud.protocol}:// does not answer"
            time.sleep(0.2)
        else:
            return


def test_what_was_pushed_is_pulled_and_nothing_runs_again(client: Client, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    client.must(root, "dvc", "init", "--quiet")
    client.must(root, "dvc", "remote", "add", "--default", "storage", f"{client.cloud.protocol}://{BUCKET}/ratchet")
    for option in client.cloud.remote:
        name, _, value = option.format(address=client.address).partition("=")
        client.must(root, "dvc", "remote", "modify", "storage", name, value)
    (root / "in.txt").write_text("texts\n")
    (root / "dvc.yaml").write_text(PIPELINE)
    client.must(root, "dvc", "repro")
    assert "1 file pushed" in client.must(root, "dvc", "push")
    shutil.rmtree(root / ".dvc" / "cache")
    (root / "out.txt").unlink()
    client.must(root, "dvc", "pull")
    assert (root / "out.txt").read_text() == "texts\n"
    assert "Data and pipelines are up to date" in client.must(root, "dvc", "repro")
    assert (root / "ran.txt").read_text() == "ran\n"


def _ingest(client: Client, folder: Path, path: str, sha256: str = "") -> subprocess.CompletedProcess[str]:
    """`ingest` of the files at `path`, in a folder of its own."""
    folder.mkdir()
    (folder / "version.txt").write_text("1\n")
    values: dict[str, Any] = {
        "source": {"kind": "files", "path": path, "sha256": sha256, "dialect": CSV.model_dump(), "max_bad_rows": 0},
        "watch": "version.txt",
        "source_column": "",
        "repairs": ["line_breaks", "whitespace"],
    }
    write_params(ingest.Params, "ingest", values, folder)
    return client.run(folder, "python", "-m", "pipeline_steps.ingest")


def test_a_bucket_is_ingested_as_the_files_are(client: Client, tmp_path: Path) -> None:
    files, bucket = tmp_path / "files", f"{client.cloud.protocol}://{BUCKET}/reviews"
    files.mkdir()
    for name in ("a", "b"):
        pd.DataFrame(ROWS).to_csv(files / f"{name}.csv", index=False)
    pd.DataFrame(ROWS, dtype="str").to_parquet(files / "c.parquet")
    (files / "notes.md").write_text("no data\n")
    client.must(tmp_path, "python", "-c", PUT, client.cloud.protocol, f"{files}/", f"{bucket}/")

    for name, path, n_rows in (("folder", "/", 9), ("glob", "/*.csv", 6), ("one", "/c.parquet", 3)):
        done = _ingest(client, tmp_path / name, bucket + path)
        assert done.returncode == 0, done.stderr
        corpus = read_table(tmp_path / name / "data" / "corpus.parquet", CORPUS)
        assert corpus["text"].tolist() == ["a fine film", "a bad film", "never again"] * (n_rows // 3)
        assert corpus["label"].tolist() == ["positive", "negative", "negative"] * (n_rows // 3)
    pinned = sha256_file(files / "c.parquet")
    assert read_json(tmp_path / "one" / "reports" / "ingest.json")["source"]["sha256"] == pinned
    assert _ingest(client, tmp_path / "pinned", f"{bucket}/c.parquet", pinned).returncode == 0

    for name, path, sha256, said in (
        ("other", "/c.parquet", "0" * 64, "not the one that was pinned"),
        ("none", "/none.csv", "", "There is no such file"),
    ):
        done = _ingest(client, tmp_path / name, bucket + path, sha256)
        assert done.returncode == 1
        assert said in done.stderr
        assert not list((tmp_path / name).glob("data/*.parquet"))
