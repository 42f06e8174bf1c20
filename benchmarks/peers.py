"""scikit-activeml's own query strategies, to stand side by side with those of this repository."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.labels.pool import Indices, Pool

PeerQuery = Callable[[int, np.random.Generator], Indices]
Peer = Callable[[Pool, NDArray[np.int64], int, float], PeerQuery]
"""(pool, targets (n_pool,), n_classes, inverse regularization) → what chooses from it. The model that every strategy is
given is fitted before, as ours is; what one strategy alone needs, as BALD its committee, is made when it is asked."""

N_MEMBERS = 10
"""Models of the bootstrapped committee on which the peer's BALD rests."""


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _known(pool: Pool, targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """The classes that labels have shown, NaN elsewhere: the form in which the peer wants them."""
    return np.where(pool.labeled, targets.astype(np.float64), np.nan)


def _classifier(pool: Pool, targets: NDArray[np.int64], n_classes: int, inverse_regularization: float) -> Any:
    from skactiveml.classifier import SklearnClassifier
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=inverse_regularization, max_iter=1000, tol=1e-3)
    fitted = SklearnClassifier(model, classes=list(range(n_classes)), random_state=0)
    return fitted.fit(pool.embeddings, _known(pool, targets))


def _by_model(name: str, **options: Any) -> Peer:
    def peer(pool: Pool, targets: NDArray[np.int64], n_classes: int, inverse_regularization: float) -> PeerQuery:
        model = _classifier(pool, targets, n_classes, inverse_regularization)
        return _query(name, options, pool, targets, model)

    return peer


def _by_place(name: str) -> Peer:
    return lambda pool, targets, _n_classes, _inverse_regularization: _query(name, {}, pool, targets)


def _query(name: str, options: dict[str, Any], pool: Pool, targets: NDArray[np.int64], model: Any = None) -> PeerQuery:
    """The peer's strategy of this name; those that ask a model get one that is fitted."""
    import skactiveml.pool

    known = _known(pool, targets)
    asks, fitted = ((), {}) if model is None else ((model,), {"fit_clf": False})

    def query(batch_size: int, rng: np.random.Generator) -> Indices:
        strategy = getattr(skactiveml.pool, name)(random_state=_seed(rng), **options)
        asked: Indices = strategy.query(pool.embeddings, known, *asks, batch_size=batch_size, **fitted)
        return asked

    return query


def _bald(pool: Pool, targets: NDArray[np.int64], n_classes: int, inverse_regularization: float) -> PeerQuery:
    from skactiveml.classifier import SklearnClassifier
    from sklearn.ensemble import BaggingClassifier
    from sklearn.linear_model import LogisticRegression

    known = _known(pool, targets)

    def query(batch_size: int, rng: np.random.Generator) -> Indices:
        from skactiveml.pool import GreedyBALD

        model = LogisticRegression(C=inverse_regularization, max_iter=1000, tol=1e-3)
        committee = BaggingClassifier(model, n_estimators=N_MEMBERS, random_state=0)
        ensemble = SklearnClassifier(committee, classes=list(range(n_classes)), random_state=0)
        ensemble.fit(pool.embeddings, known)
        strategy: Any = GreedyBALD(random_state=_seed(rng))
        asked: Indices = strategy.query(pool.embeddings, known, ensemble, fit_ensemble=False, batch_size=batch_size)
        return asked

    return query


PEERS: dict[str, Peer] = {
    "least_confidence": _by_model("UncertaintySampling", method="least_confident"),
    "margin": _by_model("UncertaintySampling", method="margin_sampling"),
    "entropy": _by_model("UncertaintySampling", method="entropy"),
    "bald": _bald,
    "k_center": _by_place("CoreSet"),
    "badge": _by_model("Badge"),
    "contrastive": _by_model("ContrastiveAL", nearest_neighbors_dict={"n_neighbors": 10}),
    "typiclust": _by_place("TypiClust"),
}
"""By this repository's names. It has no hybrid of the kind used here."""
