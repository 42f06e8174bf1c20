"""The committee behind BALD: each member is the optimum of its own draw, and none is worse than the fit."""

from __future__ import annotations

import numpy as np
import pytest

from ratchet.labels import committee
from ratchet.labels.committee import bootstrap_committee
from ratchet.labels.selection_model import fit_selection_model


def _labeled(n_classes: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n_classes)
    targets = np.arange(n) % n_classes
    centers = rng.normal(size=(n_classes, 4))
    return (centers[targets] + rng.normal(size=(n, 4))).astype(np.float32), targets


def _drawn(n: int) -> np.ndarray:
    """How often each label is drawn by each member: the first thing a committee asks its generator for."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=committee.N_MEMBERS)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("strength", [0.2, 2.0])
def test_members_are_the_optima_of_their_draws(
    n_classes: int, strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against scikit-learn with the draws as weights of the texts.

    The members hold an intercept as if it were a weight; so here a constant is a column, and the fit's own is 0.
    """
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr(committee, "N_STEPS", 60)
    embeddings, targets = _labeled(n_classes)
    points = np.column_stack([embeddings, np.ones(len(targets))]).astype(float)
    plain = LogisticRegression(C=strength, fit_intercept=False, tol=1e-8, max_iter=10_000)
    fit = np.zeros((n_classes, points.shape[1]))
    rows = slice(int(n_classes == 2), None)
    fit[rows] = plain.fit(points, targets).coef_
    fit[:, -1] = 0.0
    made = bootstrap_committee(points, targets, fit, np.ones(len(targets)), strength, np.random.default_rng(0))
    for member, counts in zip(made[:4], _drawn(len(targets)), strict=False):
        expected = plain.fit(points, targets, sample_weight=counts).coef_
        assert member[rows] == pytest.approx(expected, abs=0.05 * float(np.abs(expected).max()))


@pytest.mark.parametrize("strength", [0.1, 2.0, 1e4])
def test_no_step_makes_a_member_worse(strength: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where labels are few, the classes lie apart and the prior is weak, so that full steps overshoot."""
    embeddings, targets = np.random.default_rng(0).normal(size=(12, 3)) * 10, np.arange(12) % 2
    embeddings[:, 0] += 10 * targets
    points = np.column_stack([embeddings, np.ones(12)])
    model = fit_selection_model(embeddings.astype(np.float32), targets, 2, strength)
    fit = np.column_stack([model.weights, model.intercepts]).astype(float)
    anchor = np.append(np.zeros(3), fit[1, -1])

    def losses(members: np.ndarray) -> np.ndarray:
        margins = np.where(targets == 1, 1, -1) * (members[:, 1] @ points.T)
        penalty = np.square(members[:, 1] - anchor).sum(axis=1) / (2 * strength)
        total: np.ndarray = (_drawn(12) * np.logaddexp(0, -margins)).sum(axis=1) + penalty
        return total

    before = losses(np.repeat(fit[None], committee.N_MEMBERS, axis=0))
    for n_steps in (1, 4, 30):
        monkeypatch.setattr(committee, "N_STEPS", n_steps)
        made = bootstrap_committee(points, targets, fit, np.ones(12), strength, np.random.default_rng(0))
        after = losses(made)
        assert np.isfinite(after).all()
        assert (after <= before + 1e-9).all()
        before = after


def test_members_disagree_less_the_more_labels_there_are() -> None:
    spread = []
    for n in (40, 4000):
        embeddings, targets = _labeled(2, n)
        draws = fit_selection_model(embeddings, targets, 2, 2.0).draw_proba(embeddings[:40])
        assert draws.sum(axis=2) == pytest.approx(1)
        spread.append(float(draws[:, :, 1].std(axis=0).mean()))
    assert spread[1] < 0.3 * spread[0]


def test_classes_that_no_label_has_shown_have_no_chance() -> None:
    embeddings, targets = _labeled(3)
    kept = targets != 1
    draws = fit_selection_model(embeddings[kept], targets[kept], 3, 2.0, balanced=True).draw_proba(embeddings)
    assert (draws[:, :, 1] == 0).all()
    assert draws.sum(axis=2) == pytest.approx(1)
    alone = fit_selection_model(embeddings[targets == 0], targets[targets == 0], 3, 2.0)
    assert (alone.draw_proba(embeddings) == 1 / 3).all()
