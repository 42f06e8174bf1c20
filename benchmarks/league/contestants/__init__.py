"""The contestants: one module each, imported in the contestant's own environment only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """How a contestant is run."""

    title: str
    module: str
    requirements: str = ""
    """File of `benchmarks/league/requirements` that its environment is made from; empty: that of the project."""
    packages: tuple[str, ...] = ()
    """Whose versions a cell keeps."""
    recipe: int = 1
    """Raised when the contestant does something else: its cells are then run again."""
    at_our_cpu_time: bool = False
    """Whether it may take as many CPU-seconds as Ratchet took on the same cell."""
    max_draws: int = 10
    """Draws in the full form, at most: the slow ones get fewer."""


OURS = "ratchet"
CONTESTANTS = {
    "tfidf": Entry("TF-IDF, logistic regression", "tfidf", packages=("scikit-learn",)),
    "fasttext": Entry("fastText", "fasttext_supervised", "fasttext", ("fasttext-wheel",)),
    "frozen_probe": Entry("frozen probe", "frozen_probe", packages=("torch", "transformers", "scikit-learn")),
    "model2vec": Entry("model2vec", "model2vec_static", "model2vec", ("model2vec", "scikit-learn")),
    OURS: Entry("Ratchet's teacher", "ratchet_teacher", packages=("torch", "transformers", "lightning")),
    "trainer": Entry("transformers.Trainer", "trainer", packages=("torch", "transformers", "accelerate")),
    "setfit": Entry("SetFit", "setfit_pairs", "setfit", ("setfit", "sentence-transformers", "torch")),
    "setfit_same_cpu": Entry(
        "SetFit, Ratchet's CPU time",
        "setfit_pairs",
        "setfit",
        ("setfit", "sentence-transformers", "torch"),
        at_our_cpu_time=True,
        max_draws=2,
    ),
    "small_text": Entry("small-text", "small_text_transformer", "small_text", ("small-text", "torch"), max_draws=2),
    "autogluon": Entry("AutoGluon", "autogluon_text", "autogluon", ("autogluon.multimodal", "torch"), max_draws=2),
}
"""In the order in which a cell's contestants run: Ratchet before what is given its CPU time."""
