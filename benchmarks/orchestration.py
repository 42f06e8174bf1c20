"""Orchestration overhead of a run, against `dvc repro` alone.

    python -m benchmarks.orchestration [--quick]

In a copy of this repository whose stages only write their files: the same graph, the same dependencies, commands that
take no time. Measured interleaved, each against `dvc repro` in the same round, because the machine's load moves both:
a run that finds nothing to do; a run of all stages with a Prefect server that is there already; and one with the server
that Prefect starts for itself.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.material import median_estimate, write_report
from ratchet.entry import entry
from ratchet.errors import PipelineError

ROOT = Path.cwd()
DVC, RUN = (sys.executable, "-m", "dvc", "repro", "--quiet"), (sys.executable, "-m", "ratchet", "run")
REPORT: dict[str, Any] = {
    "primary_metric": "accuracy",
    "bundles": {},
    "ranking": [],
    "verdict": "rejected",
    "chosen": None,
    "reasons": [],
}
"""What every file holds: enough for the summary that a run ends with."""
WRITE = f"""for path in "$@"; do mkdir -p "$(dirname "$path")" && echo '{json.dumps(REPORT)}' > "$path"; done\n"""
BARS = {"nothing_to_do_ratio": 2.0, "with_server_ratio": 1.3, "embedded_server_extra_s": 25.0}
"""At most."""
SERVER_START_S = 300.0


def make_copy(root: Path) -> None:
    """Copy what git tracks, or would, to `root`; its stages only write their files."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file() and name != "dvc.lock":
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    yaml, path = YAML(), root / "dvc.yaml"
    pipeline = yaml.load(path)
    for stage in pipeline["stages"].values():
        items = [item for kind in ("outs", "metrics", "plots") for item in stage.get(kind, [])]
        outs = [item if isinstance(item, str) else next(iter(item)) for item in items]
        stage["cmd"] = " ".join(["sh", "write_files.sh", *outs])
    yaml.dump(pipeline, path)
    (root / "write_files.sh").write_text(WRITE)
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)


def forget(root: Path) -> None:
    """Make every stage one that has never run: no lock, no cache, no run cache."""
    (root / "dvc.lock").unlink(missing_ok=True)
    for folder in (".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(root / folder, ignore_errors=True)


def seconds(root: Path, command: tuple[str, ...], environment: dict[str, str]) -> float:
    """Wall seconds of a command.

    Raises:
        PipelineError: it failed.
    """
    start = time.perf_counter()
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PipelineError("The command failed.", where=root, got=done.stdout + done.stderr)
    return time.perf_counter() - start


def time_nothing_to_do(root: Path, environment: dict[str, str], n_rounds: int) -> dict[str, Any]:
    """Runs that find every stage up to date; one of each before them is not counted."""
    rounds = [[seconds(root, command, environment) for command in (DVC, RUN)] for _ in range(n_rounds + 1)][1:]
    return {
        "dvc_s": median_estimate([dvc for dvc, _ in rounds]),
        "run_s": median_estimate([run for _, run in rounds]),
        "ratio": median_estimate([run / dvc for dvc, run in rounds]),
    }


def time_all_stages(root: Path, environment: dict[str, str], n_rounds: int) -> dict[str, Any]:
    """Runs of every stage: by DVC alone, with a running server, and with the embedded one."""
    rounds = []
    with prefect_server(root, environment) as server:
        for _ in range(n_rounds):
            times = []
            for command, variables in ((DVC, environment), (RUN, server), (RUN, environment)):
                forget(root)
                times.append(seconds(root, command, variables))
            rounds.append(times)
    return {
        "dvc_s": median_estimate([dvc for dvc, _, _ in rounds]),
        "with_server_s": median_estimate([run for _, run, _ in rounds]),
        "with_server_ratio": median_estimate([run / dvc for dvc, run, _ in rounds]),
        "embedded_server_s": median_estimate([run for _, _, run in rounds]),
        "embedded_server_extra_s": median_estimate([run - dvc for dvc, _, run in rounds]),
    }


@contextmanager
def prefect_server(root: Path, environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment of a run that finds a Prefect server on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port, "--no-ui"]
    url, end = f"http://127.0.0.1:{port}/api", time.monotonic() + SERVER_START_S
    variables = {**environment, "PREFECT_API_URL": url, "PREFECT_HOME": str(root / ".prefect-server")}
    with subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while not _healthy(url):
                if server.poll() is not None or time.monotonic() > end:
                    raise PipelineError("Prefect's server does not start.", where=url)
                time.sleep(0.5)
            yield variables
        finally:
            server.terminate()


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def main() -> None:
    """Measure, and write the report with each bar beside what was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orchestration")
    parser.add_argument("--quick", action="store_true", help="one round of everything")
    quick = parser.parse_args().quick
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "RATCHET_"))}
    environment |= {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    with tempfile.TemporaryDirectory(prefix="ratchet-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        make_copy(root)
        seconds(root, DVC, environment)
        nothing = time_nothing_to_do(root, environment, 1 if quick else 7)
        everything = time_all_stages(root, environment, 1 if quick else 3)
    measured = {
        "nothing_to_do_ratio": nothing["ratio"],
        "with_server_ratio": everything["with_server_ratio"],
        "embedded_server_extra_s": everything["embedded_server_extra_s"],
    }
    for name, bar in BARS.items():
        print(f"{name}: {measured[name]['value']:.2f}, at most {bar:g}")
    figures = {
        "nothing_to_do": nothing,
        "all_stages": everything,
        "bars": {name: {**measured[name], "at_most": bar} for name, bar in BARS.items()},
        "load_average": os.getloadavg()[2],
    }
    write_report("orchestration", figures, n_threads=1, options="--quick" if quick else "")


if __name__ == "__main__":
    entry(main)
