"""`ratchet score`: a table of any size through a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ratchet.params import At, Params
from ratchet.reporting.ownership import Prices
from ratchet.task import InferenceThreads, TextColumn

POINTER, DETAILS, MODELS = Path("models/champion.json"), Path("reports/audit_details.json"), Path("models")
SHARD_ROWS = 50_000


class ScoreParams(Params):
    """What of the task decides how a table is read."""

    text_column: TextColumn
    languages: Annotated[list[str], At("task.languages")]
    n_threads: InferenceThreads
    max_evals: Annotated[int, At("explain.max_evals")]


def score(
    source: Annotated[str, typer.Argument(help="A file, a folder, a URL, a database URL with --query, a data set.")],
    out: Annotated[Path, typer.Option(help="The folder of the shards; one that was begun is carried on.")],
    bundle: Annotated[Path | None, typer.Option(help="A bundle's folder. Default: the champion.")] = None,
    text: Annotated[str, typer.Option(help="Column of the texts. Default: task.text_column.")] = "",
    keep: Annotated[list[str] | None, typer.Option(help="A column to carry along; again for more.")] = None,
    shard_rows: Annotated[int, typer.Option(min=1, help="Rows of a shard: what is in memory.")] = SHARD_ROWS,
    explain_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of the rows whose words are explained.")] = 0,
    explain_below: Annotated[float, typer.Option(min=0, max=1, help="Explain rows of less confidence.")] = 0,
    no_languages: Annotated[
        bool, typer.Option("--no-languages", help="Tell no text's language: it is faster.")
    ] = False,
    max_bad_rows: Annotated[int, typer.Option(min=0, help="Records that may be set aside as unreadable.")] = 0,
    dialect: Annotated[list[str] | None, typer.Option(help="How a file is to be read, KEY=VALUE.")] = None,
    query: Annotated[str, typer.Option(help="Of a database: the SQL.")] = "",
    password_variable: Annotated[str, typer.Option(help="Of a database: variable with the password.")] = "",
    subset: Annotated[str, typer.Option(help="Of a data set.")] = "",
    split: Annotated[str, typer.Option(help="Of a data set.")] = "",
    revision: Annotated[str, typer.Option(help="Of a data set: commit of the hub.")] = "",
) -> None:
    """Score every row of a source into Parquet shards: probabilities, label, confidence, flags.

    A run that was stopped goes on with the same command; no row is scored twice, none is left out. No text is written;
    kept columns and explained words have personal data masked."""
    from pydantic import TypeAdapter

    from flows.init.sources import Given, place_of
    from ratchet.data.sources.source import Source
    from ratchet.params import load_params
    from ratchet.scoring.job import Job
    from ratchet.scoring.job import score as run
    from ratchet.scoring.scorer import Asked

    root = Path.cwd()
    params, prices = load_params(ScoreParams, ""), load_params(Prices, "")
    path = bundle or _champion()
    given = Given(
        source,
        query,
        password_variable,
        subset,
        split,
        revision,
        copy=False,
        max_bad_rows=max_bad_rows,
        dialect=dialect or (),
        lone=text or params.text_column,
        is_surveyed=False,
    )
    place = place_of(root, given)
    asked = Asked(
        text or params.text_column,
        tuple(keep or ()),
        () if no_languages else tuple(params.languages),
        unsure_below(path),
        explain_rate,
        explain_below,
        params.max_evals,
    )
    model = TypeAdapter(Source).validate_python(place.now)
    job = Job(model, path, out, asked, shard_rows, max_bad_rows, params.n_threads)
    progress = Said(expected_rows(place.now), prices.core_hour, params.n_threads)
    done = run(job, progress)
    shares = ", ".join(f"{label} {n:,}" for label, n in done.labels.items())
    print(f"{done.n_rows:,} rows in {out}; {done.n_scored:,} scored now" + (f": {shares}" if shares else ""))
    if done.n_scored:
        print(progress.rate(done.n_scored, done.seconds) + f", batches of {done.batch_size}")
    if done.n_bad_rows:
        print(f"{done.n_bad_rows:,} records could not be read: {out / 'bad_rows.parquet'}")
    if not asked.unsure_below:
        print("no flag for other domains: the audit has none for this bundle that finds more than chance does")


class Said:
    """Says after a shard how far it is, at what rate and cost, and how long it will take."""

    def __init__(self, n_expected: int | None, usd_per_core_hour: float, n_threads: int) -> None:
        import os

        self._n_expected, self._usd = n_expected, usd_per_core_hour * (n_threads or os.cpu_count() or 1)

    def __call__(self, n_rows: int, n_scored: int, seconds: float) -> None:
        of = f" of {self._n_expected:,}" if self._n_expected else ""
        if not n_scored:
            print(f"{n_rows:,}{of} rows were scored before", flush=True)
            return
        left = ""
        if self._n_expected and self._n_expected > n_rows:
            left = f", {(self._n_expected - n_rows) * seconds / n_scored / 60:.0f} minutes left"
        print(f"{n_rows:,}{of} rows, {self.rate(n_scored, seconds)}{left}", flush=True)

    def rate(self, n_scored: int, seconds: float) -> str:
        """Rows a second and their cost."""
        usd = self._usd * seconds / 3600
        return f"{n_scored / max(seconds, 1e-9):,.0f} rows/s, {usd:.4f} USD ({1e6 * usd / n_scored:.2f} a million)"


def expected_rows(block: dict[str, Any]) -> int | None:
    """Rows that the source says it has, where it does: Parquet; None: it has to be read to know."""
    if block.get("kind") != "files" or block["dialect"]["format"] != "parquet" or "://" in block["path"]:
        return None
    import pyarrow.parquet

    path = Path(block["path"])
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    return sum(int(pyarrow.parquet.read_metadata(file).num_rows) for file in files)


def unsure_below(bundle: Path) -> float:
    """Confidence below which a text is flagged as of another domain; 0: no such flag.

    It is the audit's, if that looked at these very bytes, and if the flag finds texts of the other domain more often
    than it raises false alarms, beyond both intervals.
    """
    from ratchet.files import read_json, sha256_file
    from ratchet.models.bundle import MANIFEST, read_manifest

    name = read_manifest(bundle).name
    audited = MODELS / name / MANIFEST
    if not DETAILS.is_file() or not audited.is_file() or sha256_file(audited) != sha256_file(bundle / MANIFEST):
        return 0.0
    flag = read_json(DETAILS).get("bundles", {}).get(name, {}).get("confidence", {}).get("other_domain")
    if not flag or flag["threshold"] is None:
        return 0.0
    found, alarms = flag["detection_rate"], flag["false_alarm_rate"]
    if found["low"] is None or alarms["high"] is None or found["low"] <= alarms["high"]:
        return 0.0
    return float(1 - flag["threshold"])


def _champion() -> Path:
    from ratchet.errors import BundleError
    from ratchet.models.champion import champion_path

    if (path := champion_path(POINTER)) is None:
        raise BundleError(
            "There is no champion yet.",
            where=POINTER,
            expected="a bundle that was released",
            fix="release one (docs/release.md), or name a bundle: ratchet score ... --bundle models/NAME",
        )
    return path
