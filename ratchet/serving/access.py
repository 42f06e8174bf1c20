"""Authentication and rates while requests come: no request waits for the file of keys or for the database.

Keys are read beside the event loop, once a second. Where they cannot be read the server goes on with those it has for
`max_key_age_s`, then lets nobody in: a key that was revoked meanwhile must not work for ever.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import limits
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from ratchet.serving.auth import Key, KeyPlace, Scope, hash_of, read_keys
from ratchet.serving.problems import ProblemError
from ratchet.serving.shared_state import SharedState

_LOGGER = logging.getLogger("ratchet.serving")
_N_RANDOM = 24
"""Hexadecimal digits of an answer's id that are random; eight more mark whose it is."""


class Access:
    """Checks keys, and charges them for texts."""

    def __init__(
        self,
        place: KeyPlace,
        required: bool,
        max_age_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.required = required
        self.problem = ""
        """Why the keys cannot be read; empty while they can."""
        self._place, self._max_age_s, self._clock = place, max_age_s, clock
        self._keys: Mapping[str, Key] = {}
        self._read_at = -float("inf")
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._used: dict[str, int] = {}
        """Texts by key since the use was last shared."""
        self._own: dict[str, int] = {}
        """Texts by key of the minute that is shared now, of this server."""
        self._others: dict[str, int] = {}
        self._minute = 0
        self.refresh()

    @property
    def is_stale(self) -> bool:
        """Whether nobody is let in, because the keys could not be read for too long."""
        return self.required and self._clock() - self._read_at > self._max_age_s

    def refresh(self) -> None:
        """Read the keys again, and share the use of rates; never on the event loop, since either may take its time."""
        if not self.required:
            return
        try:
            self._keys = {key.id: key for key in read_keys(self._place)}
            self._read_at = self._clock()
            if isinstance(self._place, SharedState):
                self._share_use(self._place)
        except Exception as error:  # whatever it is, the server goes on, and closes when the keys are too old
            problem = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            if problem != self.problem:
                _LOGGER.warning(
                    "the API keys cannot be read; nobody is let in after %g s: %s", self._max_age_s, problem
                )
            self.problem = problem
        else:
            self.problem = ""

    def check(
        self, headers: Mapping[bytes, bytes], scope: Scope, model: str = "", now: datetime | None = None
    ) -> Key | None:
        """The key of a request, charged for one text; None where none is needed.

        Raises:
            ProblemError: it has none that works, or lacks the scope or the model, or asks too often; or the keys
                could not be read for too long.
        """
        if not self.required:
            return None
        if self.is_stale:
            raise ProblemError("unavailable", "the API keys cannot be read: nobody is let in", retry_after_s=10)
        given = headers.get(b"authorization", b"")
        secret = (given[7:] if given[:7].lower() == b"bearer " else headers.get(b"x-api-key", b"")).decode("latin-1")
        parts = secret.split("_", 2)
        key = self._keys.get(parts[1]) if len(parts) == 3 else None
        if key is None or not hmac.compare_digest(key.sha256, hash_of(secret)):
            raise ProblemError("unauthorized", "a valid API key is needed: Authorization: Bearer rk_…")
        if key.revoked or key.expires <= (now or datetime.now(UTC)):
            raise ProblemError("unauthorized", "the API key was revoked or has expired", key_id=key.id)
        if scope not in key.scopes:
            raise ProblemError("forbidden", f"the API key lacks the scope {scope}", key_id=key.id)
        if key.models and model not in ("", *key.models):
            raise ProblemError("forbidden", "the API key may not ask this model", key_id=key.id)
        self.spend(key, model, 1)
        return key

    def spend(self, key: Key, model: str, n_texts: int) -> None:
        """Charge a key for texts.

        Raises:
            ProblemError: it has sent too many within a minute.
        """
        if n_texts >= key.texts_per_minute > 1:
            detail = f"more texts than the key may send in a minute: {key.texts_per_minute}"
            raise ProblemError("too_large", detail, key_id=key.id)
        item = limits.RateLimitItemPerMinute(key.texts_per_minute)
        if not self._limiter.hit(item, key.id, model, cost=n_texts):
            reset = self._limiter.get_window_stats(item, key.id, model).reset_time - time.time()
            raise ProblemError("rate_limited", "the API key asks too often", (), min(60.0, max(1.0, reset)), key.id)
        if isinstance(self._place, SharedState):
            name = f"{key.id} {model}"
            self._used[name] = self._used.get(name, 0) + n_texts

    def _share_use(self, shared: SharedState) -> None:
        """Tell the others what was taken here, and charge keys here for what others took: within seconds they agree."""
        used: dict[str, int] = {}
        while self._used:
            name, n_texts = self._used.popitem()
            used[name] = n_texts
        minute = int(time.time()) // 60
        if minute != self._minute:
            self._minute, self._own, self._others = minute, {}, {}
        total = shared.add_use(used, minute)
        for name, n_texts in used.items():
            self._own[name] = self._own.get(name, 0) + n_texts
        for name, n_texts in total.items():
            key_id, _, model = name.partition(" ")
            others = n_texts - self._own.get(name, 0)
            new, self._others[name] = others - self._others.get(name, 0), others
            if new > 0 and (key := self._keys.get(key_id)) is not None:
                item = limits.RateLimitItemPerMinute(key.texts_per_minute)
                left = self._limiter.get_window_stats(item, key_id, model).remaining
                if left > 0:
                    self._limiter.hit(item, key_id, model, cost=min(new, left))


def new_id(owner: bytes) -> str:
    """The id of an answer: random, and marked by whose it is, so that feedback on it can be told from a stranger's.

    >>> belongs(new_id(b"ann"), b"ann"), belongs(new_id(b"ann"), b"bob"), belongs("0" * 32, b"ann")
    (True, False, False)
    """
    drawn = secrets.token_hex(_N_RANDOM // 2)
    return drawn + _mark(drawn, owner)


def belongs(request_id: str, owner: bytes) -> bool:
    """Whether an answer of this id was given to this owner. A forged id passes once in four thousand million."""
    drawn, mark = request_id[:_N_RANDOM], request_id[_N_RANDOM:]
    return hmac.compare_digest(mark.encode(), _mark(drawn, owner).encode())


def _mark(drawn: str, owner: bytes) -> str:
    return hashlib.blake2b(drawn.encode(), digest_size=4, key=owner).hexdigest()
