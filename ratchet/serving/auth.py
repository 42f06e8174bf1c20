"""API keys: scopes, expiry and rate limit, kept as hashes.

A key is `rk_ID_SECRET`, the secret 256 random bits, and only its SHA-256 is kept. Slow hashes such as scrypt protect
what people can guess; here nothing can be guessed, and a slow hash would let anybody occupy the server with wrong keys.
The file is read again when it changes, so that a key which is revoked stops working without a restart.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

import pydantic

from ratchet.errors import ParamsError
from ratchet.files import read_json, replace_file

Scope = Literal["predict", "feedback", "explain", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_BURST_S = 10
"""Burst of the token bucket, in seconds of the key's rate."""


class Key(pydantic.BaseModel):
    """The stored record of a key, which holds its hash and never the key."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: str = pydantic.Field(pattern="^[0-9a-f]{12}$")
    """Name in logs; independent of the secret."""
    name: str = pydantic.Field(min_length=1, max_length=100)
    """Purpose of the key: a service, not a person."""
    sha256: str = pydantic.Field(pattern="^[0-9a-f]{64}$")
    """Hash of the whole key."""
    scopes: list[Scope] = pydantic.Field(min_length=1)
    """Scopes that it grants; admin does not include the others."""
    requests_per_minute: int = pydantic.Field(ge=1)
    """Its rate; ten seconds' worth may come at once."""
    created: datetime
    expires: datetime
    """From then on it is refused."""
    revoked: bool = False


class _KeyFile(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    keys: list[Key]


class DeniedError(Exception):
    """Authentication or authorization failure, with its HTTP status."""

    def __init__(self, status: int, code: str, message: str, retry_after_s: float = 0.0, key_id: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after_s, self.key_id = retry_after_s, key_id


def read_keys(path: Path) -> list[Key]:
    """All keys, the oldest first; none where there is no file.

    Raises:
        ParamsError: the file is damaged.
    """
    try:
        return _KeyFile.model_validate(read_json(path)).keys
    except FileNotFoundError:
        return []
    except ValueError:
        raise ParamsError("The file of API keys is damaged.", where=path, fix="restore it, or add keys anew") from None


def add_key(
    path: Path, name: str, scopes: Sequence[Scope], days: int, requests_per_minute: int, now: datetime
) -> tuple[Key, str]:
    """A new key, kept, and the secret text that is shown once."""
    with _changing(path) as keys:
        key_id = secrets.token_hex(6)
        secret = f"rk_{key_id}_{secrets.token_urlsafe(32)}"
        key = Key(
            id=key_id,
            name=name,
            sha256=_hash(secret),
            scopes=sorted(set(scopes), key=SCOPES.index),
            requests_per_minute=requests_per_minute,
            created=now,
            expires=now + timedelta(days=days),
        )
        keys.append(key)
    return key, secret


def revoke_key(path: Path, key_id: str) -> Key:
    """The key, refused from now on.

    Raises:
        ParamsError: there is none of this id.
    """
    with _changing(path) as keys:
        at = _index(keys, key_id, path)
        keys[at] = keys[at].model_copy(update={"revoked": True})
        return keys[at]


def rotate_key(path: Path, key_id: str, days: int, overlap_hours: float, now: datetime) -> tuple[Key, str]:
    """A successor with the same name, scopes and rate; the old key works for `overlap_hours` more at most.

    Raises:
        ParamsError: there is none of this id, or it works no longer.
    """
    old = next((key for key in read_keys(path) if key.id == key_id), None)
    if old is None or old.revoked or old.expires <= now:
        raise ParamsError("There is no such key that works.", where=path, got=key_id, fix="ratchet keys list")
    successor, secret = add_key(path, old.name, old.scopes, days, old.requests_per_minute, now)
    with _changing(path) as keys:
        at = _index(keys, key_id, path)
        keys[at] = keys[at].model_copy(update={"expires": min(old.expires, now + timedelta(hours=overlap_hours))})
    return successor, secret


class Access:
    """Authentication and rate limiting: checks keys against their file, counts the requests of each."""

    def __init__(self, path: Path, required: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._required, self._clock = path, required, clock
        self._seen: tuple[int, int] | None = None
        self._looked = -1.0
        self._keys: dict[str, Key] = {}
        self._buckets: dict[str, tuple[float, float]] = {}

    def check(self, secret: str, scope: Scope, now: datetime) -> str:
        """The id of the key; empty where none is needed.

        Raises:
            DeniedError: 401 for a key that is missing, unknown, expired or revoked; 403 for one without the scope;
                429 for one that asks too often.
        """
        if not self._required:
            return ""
        self._reload()
        parts = secret.split("_", 2)
        key = self._keys.get(parts[1]) if len(parts) == 3 else None
        if key is None or not hmac.compare_digest(key.sha256, _hash(secret)):
            raise DeniedError(401, "unauthorized", "a valid API key is needed: Authorization: Bearer rk_…")
        if key.revoked or key.expires <= now:
            raise DeniedError(401, "unauthorized", "the API key was revoked or has expired", key_id=key.id)
        if scope not in key.scopes:
            raise DeniedError(403, "forbidden", f"the API key lacks the scope {scope}", key_id=key.id)
        self._spend(key)
        return key.id

    def _spend(self, key: Key) -> None:
        """Take a request from the key's token bucket. Source: RFC 2697 (token bucket)."""
        rate = key.requests_per_minute / 60
        size = max(1.0, rate * _BURST_S)
        at = self._clock()
        left, before = self._buckets.get(key.id, (size, at))
        left = min(size, left + (at - before) * rate)
        if left < 1:
            self._buckets[key.id] = (left, at)
            raise DeniedError(429, "rate_limited", "the API key asks too often", (1 - left) / rate, key.id)
        self._buckets[key.id] = (left - 1, at)

    def _reload(self) -> None:
        """Read the file again if it has changed; looked at once a second. A damaged file changes nothing."""
        if self._clock() - self._looked < 1:
            return
        self._looked = self._clock()
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_ino)
            if seen != self._seen:
                self._keys = {key.id: key for key in read_keys(self._path)}
                self._seen = seen
        except FileNotFoundError:
            self._keys, self._seen = {}, None
        except ParamsError:
            return


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _index(keys: Sequence[Key], key_id: str, path: Path) -> int:
    for at, key in enumerate(keys):
        if key.id == key_id:
            return at
    raise ParamsError("There is no such key.", where=path, got=key_id, fix="ratchet keys list")


@contextmanager
def _changing(path: Path) -> Iterator[list[Key]]:
    """The keys, to be changed in place; written when the block ends, one writer at a time, for the owner's eyes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = read_keys(path)
        yield keys
        with replace_file(path) as partial:
            partial.touch(mode=0o600)
            partial.write_text(_KeyFile(keys=keys).model_dump_json(indent=1) + "\n", encoding="utf-8")
