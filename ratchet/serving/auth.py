"""API keys: scopes, models, expiry and rate, kept as hashes, in a file or in the database that replicas share.

A key is `rk_ID_SECRET`, the secret 256 random bits, and only its SHA-256 is kept. Slow hashes such as scrypt protect
what people can guess; here nothing can be guessed, and a slow hash would let anybody occupy the server with wrong keys.
What checks keys while requests come is `ratchet.serving.access`.
"""

from __future__ import annotations

import fcntl
import hashlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, Protocol, get_args

import pydantic

from ratchet.errors import ParamsError
from ratchet.files import replace_file

Scope = Literal["predict", "feedback", "explain", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


class Document(Protocol):
    """A text that is being changed."""

    text: str


class Documents(Protocol):
    """Texts by name, as replicas share them: see `ratchet.serving.shared_state`."""

    def read(self, name: str) -> str:
        """What is kept under the name; empty where nothing is."""

    def changing(self, name: str) -> AbstractContextManager[Document]:
        """What is kept under the name, to be changed; written when the block ends."""


KeyPlace = Path | Documents
"""Where keys are kept."""


class Key(pydantic.BaseModel):
    """The stored record of a key, which holds its hash and never the key."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True
    )

    id: str = pydantic.Field(pattern="^[0-9a-f]{12}$")
    """Name in logs; independent of the secret."""
    name: str = pydantic.Field(min_length=1, max_length=100)
    """Purpose of the key: a service, not a person."""
    sha256: str = pydantic.Field(pattern="^[0-9a-f]{64}$")
    """Hash of the whole key."""
    scopes: list[Scope] = pydantic.Field(min_length=1)
    """Scopes that it grants; admin does not include the others."""
    models: list[str] = []
    """Models that it may ask; empty: all."""
    texts_per_minute: int = pydantic.Field(
        ge=1, validation_alias=pydantic.AliasChoices("texts_per_minute", "requests_per_minute")
    )
    """Its rate at each model: a request counts as many as it has texts, and one at least."""
    created: datetime
    expires: datetime
    """From then on it is refused."""
    revoked: bool = False
    mark: str = pydantic.Field("", pattern="^([0-9a-f]{32})?$")
    """Secret by which the ids of its answers are marked; a successor has the same. Empty: a part of the hash."""

    @property
    def owner(self) -> bytes:
        """The mark, as bytes."""
        return bytes.fromhex(self.mark or self.sha256[:32])


class _KeyFile(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    keys: list[Key]


def read_keys(place: KeyPlace) -> list[Key]:
    """All keys, the oldest first; none where nothing was kept yet.

    Raises:
        ParamsError: what is kept is damaged.
        OSError, sqlalchemy.exc.SQLAlchemyError: it cannot be read.
    """
    try:
        text = place.read_text(encoding="utf-8") if isinstance(place, Path) else place.read("keys")
        return _KeyFile.model_validate_json(text).keys if text else []
    except FileNotFoundError:
        return []
    except ValueError:
        raise ParamsError("The file of API keys is damaged.", where=place, fix="restore it, or add keys anew") from None


def add_key(
    place: KeyPlace,
    name: str,
    scopes: Sequence[Scope],
    days: int,
    texts_per_minute: int,
    now: datetime,
    models: Sequence[str] = (),
    mark: str = "",
) -> tuple[Key, str]:
    """A new key, kept, and the secret text that is shown once."""
    with _changing(place) as keys:
        key_id = secrets.token_hex(6)
        secret = f"rk_{key_id}_{secrets.token_urlsafe(32)}"
        key = Key(
            id=key_id,
            name=name,
            sha256=hash_of(secret),
            scopes=sorted(set(scopes), key=SCOPES.index),
            models=list(models),
            texts_per_minute=texts_per_minute,
            created=now,
            expires=now + timedelta(days=days),
            mark=mark or secrets.token_hex(16),
        )
        keys.append(key)
    return key, secret


def revoke_key(place: KeyPlace, key_id: str) -> Key:
    """The key, refused from now on.

    Raises:
        ParamsError: there is none of this id.
    """
    with _changing(place) as keys:
        at = _index(keys, key_id, place)
        keys[at] = keys[at].model_copy(update={"revoked": True})
        return keys[at]


def rotate_key(place: KeyPlace, key_id: str, days: int, overlap_hours: float, now: datetime) -> tuple[Key, str]:
    """A successor with the same name, scopes, models, rate and answers; the old key works `overlap_hours` more at most.

    Raises:
        ParamsError: there is none of this id, or it works no longer.
    """
    old = next((key for key in read_keys(place) if key.id == key_id), None)
    if old is None or old.revoked or old.expires <= now:
        raise ParamsError("There is no such key that works.", where=place, got=key_id, fix="ratchet keys list")
    successor, secret = add_key(
        place, old.name, old.scopes, days, old.texts_per_minute, now, old.models, old.owner.hex()
    )
    with _changing(place) as keys:
        at = _index(keys, key_id, place)
        keys[at] = keys[at].model_copy(update={"expires": min(old.expires, now + timedelta(hours=overlap_hours))})
    return successor, secret


def hash_of(secret: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _index(keys: Sequence[Key], key_id: str, place: KeyPlace) -> int:
    for at, key in enumerate(keys):
        if key.id == key_id:
            return at
    raise ParamsError("There is no such key.", where=place, got=key_id, fix="ratchet keys list")


@contextmanager
def _changing(place: KeyPlace) -> Iterator[list[Key]]:
    """The keys, to be changed in place; written when the block ends, one writer at a time, for the owner's eyes."""
    if not isinstance(place, Path):
        with place.changing("keys") as content:
            keys = _KeyFile.model_validate_json(content.text).keys if content.text else []
            yield keys
            content.text = _KeyFile(keys=keys).model_dump_json()
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f".{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = read_keys(place)
        yield keys
        with replace_file(place) as partial:
            partial.touch(mode=0o600)
            partial.write_text(_KeyFile(keys=keys).model_dump_json(indent=1) + "\n", encoding="utf-8")
