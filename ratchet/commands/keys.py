"""`ratchet keys`: API keys of the server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ratchet.params import load_params
from ratchet.serving.auth import SCOPES, KeyPlace, Scope, add_key, read_keys, revoke_key, rotate_key
from ratchet.serving.settings import LIVE_FILE, LogParams, ServeParams

app = typer.Typer(no_args_is_help=True, help="API keys: kept as hashes, shown once.")
Settings = Annotated[Path, typer.Option("--settings", help="The settings that name the file of keys.")]
KeyId = Annotated[str, typer.Argument(help="The key's id, as list shows it.")]
Days = Annotated[int, typer.Option(min=1, help="Days that it works.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What it is for: a service, not a person.")],
    scope: Annotated[list[str], typer.Option(help=f"What it may be used for: {', '.join(SCOPES)}.")],
    days: Days = 90,
    per_minute: Annotated[int, typer.Option(min=1, help="Texts a minute, at each model.")] = 6000,
    model: Annotated[list[str] | None, typer.Option(help="Models that it may ask; by default all.")] = None,
    settings: Settings = LIVE_FILE,
) -> None:
    """Make a key and print it: it is shown this once."""
    if unknown := sorted(set(scope) - {*SCOPES}):
        raise typer.BadParameter(f"{', '.join(unknown)}: no such scope, only {', '.join(SCOPES)}")
    scopes: list[Scope] = [known for known in SCOPES if known in scope]
    _, secret = add_key(_place(settings), name, scopes, days, per_minute, datetime.now(UTC), model or ())
    print(secret)


@app.command(name="list")
def list_command(settings: Settings = LIVE_FILE) -> None:
    """Print all keys: id, name, scopes, texts a minute, state."""
    now = datetime.now(UTC)
    for key in read_keys(_place(settings)):
        state = "revoked" if key.revoked else "expired" if key.expires <= now else f"until {key.expires:%Y-%m-%d %H:%M}"
        print(f"{key.id}  {key.name}  {','.join(key.scopes)}  {key.texts_per_minute}/min  {state}")


@app.command()
def revoke(key_id: KeyId, settings: Settings = LIVE_FILE) -> None:
    """Refuse a key from now on; a server that runs notices within a second."""
    print(f"{revoke_key(_place(settings), key_id).name} is revoked")


@app.command()
def rotate(
    key_id: KeyId,
    overlap_hours: Annotated[float, typer.Option(min=0, help="Hours that the old key goes on working.")] = 24,
    days: Days = 90,
    settings: Settings = LIVE_FILE,
) -> None:
    """Make a successor of a key and print it."""
    print(rotate_key(_place(settings), key_id, days, overlap_hours, datetime.now(UTC))[1])


def _place(settings: Path) -> KeyPlace:
    """Where the server reads its keys."""
    params = load_params(ServeParams, "serve", settings)
    if params.state == "files":
        return Path(params.key_file)
    from ratchet.prediction_log.database import open_database
    from ratchet.serving.shared_state import SharedState

    return SharedState(open_database(load_params(LogParams, "log", settings).url))
