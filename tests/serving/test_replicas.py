"""Servers that share their state in PostgreSQL behave as one; a replica needs bundle, attestation and public key."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from ratchet.__main__ import app
from ratchet.compress.compilers import Compilation
from ratchet.engines.compiling import export
from ratchet.errors import ReleaseError
from ratchet.experiments.assignment import OFF, Experiment
from ratchet.files import sha256_file, write_json
from ratchet.models.bundle import MANIFEST
from ratchet.prediction_log.database import open_database
from ratchet.registry.attestation import (
    SCHEMA_VERSION,
    Attestation,
    attestation_path,
    check_attested,
    sign_attestation,
)
from ratchet.serving.access import Access
from ratchet.serving.auth import add_key, revoke_key
from ratchet.serving.pointer import Pointer
from ratchet.serving.problems import ProblemError
from ratchet.serving.shared_state import SharedState
from tests.support import postgres
from tests.support.bundles import torch_bundle
from tests.support.live_server import Running, serving, word_bundle
from tests.support.tiny import BLAME, PRAISE

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres.server() as url:
        yield url


def _wait(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _pointer(bundle: Path) -> str:
    digest = sha256_file(bundle / MANIFEST)
    return Pointer(bundle=str(bundle), manifest_sha256=digest, version=bundle.name).model_dump_json()


@pytest.mark.service
def test_three_servers_behave_as_one_and_go_on_without_the_database(database: str, tmp_path: Path) -> None:
    first, second = word_bundle(tmp_path / "v1"), word_bundle(tmp_path / "v2", praise=BLAME, blame=PRAISE)
    engine = open_database(database)
    shared = SharedState(engine)
    shared.write("champion", _pointer(first))
    key, secret = add_key(shared, "shop", ["predict"], 1, 1_000_000, datetime.now(UTC))
    gone, gone_secret = add_key(shared, "gone", ["predict"], 1, 1_000_000, datetime.now(UTC))
    with ExitStack() as stack:
        servers = []
        for n in range(3):
            folder = tmp_path / f"server{n}"
            folder.mkdir()
            settings: dict[str, Any] = {"state": "database", "max_key_age_s": 6.0}
            servers.append(stack.enter_context(serving(folder, log_url=database, **settings)))

        def ask(server: Running, given: str = secret) -> httpx.Response:
            headers = {"Authorization": f"Bearer {given}"}
            return httpx.post(f"{server.url}/v1/predict", json={"text": "superb"}, headers=headers, timeout=60)

        def all_say(version: str) -> bool:
            return {ask(server).json().get("model_version") for server in servers} == {version}

        _wait(lambda: all_say("v1"))
        assert {ask(server, gone_secret).status_code for server in servers} == {200}
        revoke_key(shared, gone.id)
        shared.write("champion", _pointer(second))
        _wait(lambda: all_say("v2"))
        _wait(lambda: {ask(server, gone_secret).status_code for server in servers} == {401})
        split = _split(first)
        shared.write("experiment", split.model_dump_json())
        _wait(lambda: {str(ask(server).json()["model_version"]) for server in servers * 8} == {"v2", "words"})
        shared.write("experiment", OFF.model_dump_json())
        _wait(lambda: {str(ask(server).json()["model_version"]) for server in servers * 8} == {"v2"})

        with engine.begin() as connection:  # as if it were away: nothing of it can be read
            connection.execute(sqlalchemy.text("ALTER TABLE shared_state RENAME TO elsewhere"))
        try:
            assert {ask(server).status_code for server in servers} == {200}
            _wait(lambda: {ask(server).status_code for server in servers} == {503})
            answer = ask(servers[0])
            assert (answer.json()["code"], "retry-after" in answer.headers) == ("unavailable", True)
            ready = httpx.get(f"{servers[0].url}/readyz", timeout=60)
            assert (ready.status_code, set(ready.json()["troubles"])) == (503, {"keys", "default"})
        finally:
            with engine.begin() as connection:
                connection.execute(sqlalchemy.text("ALTER TABLE elsewhere RENAME TO shared_state"))
        _wait(lambda: {ask(server).status_code for server in servers} == {200})
    engine.dispose()
    assert key.id


def _split(challenger: Path) -> Experiment:
    digest = sha256_file(challenger / MANIFEST)
    named = {"name": "swap", "step": "half", "mode": "split", "share": 0.5, "salt": "salt of the test"}
    return Experiment(**named, bundle=str(challenger), manifest_sha256=digest)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def test_a_rate_is_one_for_all_servers(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path}/log.db" if kind == "sqlite" else request.getfixturevalue("database")
    engine = open_database(url)
    shared = SharedState(engine)
    _, secret = add_key(shared, "shop", ["predict"], 1, 100, datetime.now(UTC))
    servers = [Access(shared, True) for _ in range(3)]
    n_allowed = 0
    for n in range(300):
        for server in servers:
            with suppress(ProblemError):
                server.check({b"x-api-key": secret.encode()}, "predict")
                n_allowed += 1
        if n % 10 == 0:
            for server in servers:
                server.refresh()
    engine.dispose()
    assert 100 <= n_allowed <= 160  # not 300: what was taken between two looks may be too much


def test_pointer_and_experiment_are_published_by_a_command(tmp_path: Path) -> None:
    bundle = word_bundle(tmp_path / "v1")
    write_json(tmp_path / "champion.json", json.loads(_pointer(bundle)))
    text = (ROOT / "live.yaml").read_text()
    for old, new in {
        "sqlite:///.scratch/live/log.db": f"sqlite:///{tmp_path}/log.db",
        "models/champion.json": f"{tmp_path}/champion.json",
        ".scratch/live/experiment.json": f"{tmp_path}/experiment.json",
        "state: files": "state: database",
    }.items():
        assert old in text
        text = text.replace(old, new)
    settings = tmp_path / "live.yaml"
    settings.write_text(text)
    done = CliRunner().invoke(app, ["publish", "--settings", str(settings)])
    assert done.exit_code == 0, done.output
    engine = open_database(f"sqlite:///{tmp_path}/log.db")
    assert json.loads(SharedState(engine).read("champion"))["version"] == "v1"
    assert Experiment.model_validate_json(SharedState(engine).read("experiment")) == OFF
    engine.dispose()


def _keys() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private, key.public_key().public_bytes(serialization.Encoding.PEM, form)


def _attest(bundle: Path, private: bytes, **changes: object) -> None:
    said = {
        "version": "words@v1.0.0",
        "manifest_sha256": sha256_file(bundle / MANIFEST),
        "verdict": "accepted",
        "policy_commit": "a" * 40,
        "schema_version": SCHEMA_VERSION,
    }
    attestation = Attestation.model_construct(**said | changes)  # type: ignore[arg-type]
    attestation_path(bundle).write_bytes(sign_attestation(attestation, private))


def test_an_attestation_holds_for_one_bundle_one_verdict_and_keys_that_count(tmp_path: Path) -> None:
    bundle, (private, public) = word_bundle(tmp_path / "v1"), _keys()
    with pytest.raises(ReleaseError, match="missing"):
        check_attested(bundle, [public])
    _attest(bundle, private)
    assert check_attested(bundle, [_keys()[1], public]).version == "words@v1.0.0"
    with pytest.raises(ReleaseError, match="none of the keys"):
        check_attested(bundle, [_keys()[1]])
    whole = attestation_path(bundle).read_bytes()
    envelope = json.loads(whole)
    for name in ("payload", "payloadType"):
        attestation_path(bundle).write_text(json.dumps(envelope | {name: "eA=="}))
        with pytest.raises(ReleaseError):
            check_attested(bundle, [public])
    for changes, message in (
        ({"verdict": "rejected"}, "none of a release"),
        ({"manifest_sha256": "0" * 64}, "another bundle"),
        ({"schema_version": SCHEMA_VERSION + 1}, "newer Ratchet"),
    ):
        _attest(bundle, private, **changes)
        with pytest.raises(ReleaseError, match=message):
            check_attested(bundle, [public])
    for damage in (b"", b"{", b"[1]", b'{"payload": 1, "signatures": []}', b"[" * 5000):
        attestation_path(bundle).write_bytes(damage)
        with pytest.raises(ReleaseError, match="cannot be read"):
            check_attested(bundle, [public])


@pytest.mark.service
def test_a_replica_serves_what_is_attested_and_goes_on_when_the_next_is_not(tmp_path: Path) -> None:
    """It runs outside of any clone."""
    first, second = word_bundle(tmp_path / "v1"), word_bundle(tmp_path / "v2", praise=BLAME, blame=PRAISE)
    private, public = _keys()
    (tmp_path / "model.pub").write_bytes(public)
    _attest(first, private)
    (tmp_path / "champion.json").write_text(_pointer(first))
    settings: dict[str, Any] = {"registry": "attestation", "attestation_keys": [f"{tmp_path}/model.pub"]}
    with serving(tmp_path, **settings) as server:

        def version() -> str:
            return str(server.client.get("/v1/model").json()["version"])

        assert version() == "v1"
        (tmp_path / "champion.json").write_text(_pointer(second))
        _wait(lambda: "default" in server.client.get("/readyz").json()["troubles"])
        assert version() == "v1"
        _attest(second, private)
        _wait(lambda: version() == "v2")


@pytest.mark.deep
@pytest.mark.service
def test_the_extra_serve_is_enough_in_an_environment_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pip install ratchet[serve]` into an empty environment: the server starts, answers and explains there."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), f"{ROOT}[serve]"]
    subprocess.run(install, check=True)
    listed = subprocess.run([str(python), "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "dvc", "prefect", "transformers"} & {line.split()[0] for line in listed.splitlines()}
    bundle = tmp_path / "compiled"
    export(torch_bundle(tmp_path, n_layers=1), bundle, "onnx-int8", Compilation([[1, 2]]), "0" * 64)
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # what is installed, not the clone in which the test runs
    with serving(tmp_path, "--bundle", str(bundle), python=str(python)) as server:
        answer = server.client.post("/v1/predict", json={"text": "superb, jo@example.org"})
        assert answer.json()["predictions"][0]["label"] in ("positive", "negative")
        assert server.client.post("/v1/explain", json={"text": "superb film"}).status_code == 200
