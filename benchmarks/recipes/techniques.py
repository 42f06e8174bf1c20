"""Training techniques, each alone and removed: what it changes of a recipe that is otherwise the same.

The whole recipe: mean pooling, the head from a probe, logits adjusted for rare classes, a minimum number of steps, all
parameters. The plain one: the first token under a random head, as many epochs as params say.

Sources: Kumar et al. 2022 (head first), https://arxiv.org/abs/2202.10054; Menon et al. 2021 (logit adjustment),
https://arxiv.org/abs/2007.07314; Lee 2013, Pseudo-Label (self-training); Gao et al. 2021 (SimCSE),
https://arxiv.org/abs/2104.08821; Zhang & Sabuncu 2018 (generalized cross-entropy), https://arxiv.org/abs/1805.07836.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.material import SCRATCH
from benchmarks.recipes.material import Material
from ratchet.compress.distillation import spread_layers, student_of
from ratchet.compress.graph_session import fused_logits
from ratchet.measure.prior import choose_strength, prior_offset
from ratchet.models.backbones import load_classifier
from ratchet.models.batching import Tokens, encode, load_tokenizer
from ratchet.models.classifier import Batch, Classifier
from ratchet.models.examples import UNKNOWN, Examples
from ratchet.models.forward import features_of
from ratchet.models.head_start import finished, learner_of, prepared, set_head
from ratchet.models.predictor import softmax
from ratchet.models.probe import choose_regularization, fit_probe
from ratchet.models.training import fit
from ratchet.models.tuning import Method

Proba = NDArray[np.float64]
RATES: dict[str, float] = {"lora": 1e-3, "last_layers": 1e-4, "full": 1e-4, "contrastive": 1e-4}
"""Method → its learning rate, as the arms of `architect` have it."""
N_STEPS, N_SEEDS, N_POOL, NOISE = 40, 3, 1000, 0.2
"""Steps at least, in place of params.yaml's; seeds of an ensemble; unlabelled texts that are used; flipped labels."""
SIMCSE_STEPS, HIDDEN, TAU = 30, 0.1, 0.05
"""Of the adaptation to the pool: its steps, the share of a text's tokens that a view does not see, its temperature."""
Q = 0.7
"""Of the generalized cross-entropy: 0 is cross-entropy, 1 the mean absolute error."""


@dataclass(frozen=True)
class Techniques:
    """A recipe: which techniques it has."""

    mean_pooling: bool = True
    head_first: bool = True
    logit_adjustment: bool = True
    min_steps: bool = True
    method: Method = "full"
    ensemble: bool = False
    self_training: bool = False
    pool_adaptation: bool = False
    robust_loss: bool = False
    noise: bool = False
    student: bool = False
    """Whether a student of three layers answers, taught on the pool by what the rest of the recipe makes."""


WHOLE = Techniques()
PLAIN = Techniques(mean_pooling=False, head_first=False, logit_adjustment=False, min_steps=False)


class RobustClassifier(Classifier):
    """Learns by the generalized cross-entropy, (1 − p^q) ÷ q, which mislabelled texts move less."""

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """(batch,)."""
        adjusted = logits if self._prior_offset is None else logits + self._prior_offset
        p = adjusted.softmax(dim=-1).gather(1, batch["hard"][:, None])[:, 0]
        return (1 - p.clamp(min=1e-7) ** Q) / Q


class PoolClassifier(Classifier):
    """Learns from texts without a label: of two views of a text each finds the other among the batch's."""

    def outputs(self, batch: Batch) -> Any:
        """Logits that nothing learns from, and the loss of each text."""
        if not self.training:
            return super().outputs(batch)
        first, second = (self.model.features(batch["ids"], self._view(batch["mask"])) for _ in range(2))
        cosines = F.normalize(first, dim=-1) @ F.normalize(second, dim=-1).T / TAU  # (batch, batch)
        own = torch.arange(len(cosines), device=cosines.device)
        losses = F.cross_entropy(cosines, own, reduction="none")
        return SimpleNamespace(logits=self.model.classifier(first.detach()), teaching_losses=losses)

    @staticmethod
    def _view(mask: Tensor) -> Tensor:
        """The mask without some of the tokens, the first always kept."""
        kept = torch.rand(mask.shape, device=mask.device) >= HIDDEN
        kept[:, 0] = True
        return mask * kept


def run(material: Material, has: Techniques) -> Proba:
    """Probabilities of the test texts by the recipe."""
    if has.noise:
        material = replace(material, train=flipped(material.train, material.n_classes, material.params.seed))
    params = material.params.model_copy(
        update={"learning_rate": RATES[has.method], "min_steps": N_STEPS if has.min_steps else 0}
    )
    seeds = range(N_SEEDS) if has.ensemble else range(1)
    models = [teacher(material, params.model_copy(update={"seed": params.seed + 100 * seed}), has) for seed in seeds]
    if has.student:
        models = [student(material, params, models)]
    tokens = material.test.tokens
    proba: Proba = np.mean([softmax(fused_logits(model, tokens, params.n_threads)) for model in models], axis=0)
    return proba


def teacher(material: Material, params: Any, has: Techniques) -> Any:
    """The tuned model of the recipe, for one seed."""
    model, offset = start(material, params, has)
    learned = material.train
    model = tuned(model, learned, offset, material, params, has)
    if has.self_training:
        tokens = pool_tokens(material, N_POOL)
        everything = [*learned.tokens, *tokens]
        hard = np.concatenate([learned.hard, np.full(len(tokens), UNKNOWN)])
        soft = fused_logits(model, everything, params.n_threads)
        model, _ = start(material, params, has)
        model = tuned(model, Examples(everything, hard, soft), offset, material, params, has)
    return model


def tuned(model: Any, learned: Examples, offset: NDArray[np.float64], material: Material, params: Any, has: Any) -> Any:
    """The model after its steps."""
    model = prepared(model, has.method, params)
    learner = RobustClassifier if has.robust_loss else learner_of(has.method)
    _fit(model, learned, material, params, offset, learner)
    return finished(model, has.method, learned, offset, params.seed)


def start(material: Material, params: Any, has: Techniques) -> tuple[Any, NDArray[np.float64]]:
    """The model before its steps, and the prior's offset."""
    torch.manual_seed(params.seed)
    model = load_classifier(material.backbone, material.n_classes)
    model.config.pooling = "mean" if has.mean_pooling else "first"
    if has.pool_adaptation:
        tokens = pool_tokens(material, SIMCSE_STEPS * params.batch_size)
        unknown = Examples(tokens, np.full(len(tokens), UNKNOWN))
        once = params.model_copy(update={"n_epochs": 1, "min_steps": 0, "learning_rate": 3e-5})
        _fit(model, unknown, material, once, np.zeros(material.n_classes), PoolClassifier)
    targets, n_classes = material.train.hard, material.n_classes
    vectors = features_of(model, material.train.tokens) / np.float32(model.config.feature_norm)
    regularization, held_out = choose_regularization(vectors, targets, n_classes, material.folds)
    strength = choose_strength(material.metric, targets, held_out) if has.logit_adjustment else 0.0
    offset = prior_offset(targets, n_classes, strength)
    if has.head_first:
        set_head(model, fit_probe(vectors, targets, n_classes, regularization), offset)
    else:
        torch.nn.init.normal_(model.classifier.weight, std=0.02)
        torch.nn.init.zeros_(model.classifier.bias)
    return model, offset


def student(material: Material, params: Any, teachers: Sequence[Any]) -> Any:
    """Three layers of the first teacher, taught by the mean of all on the labelled texts and the pool."""
    tokens = [*material.train.tokens, *pool_tokens(material, N_POOL)]
    unknown = np.full(len(tokens) - len(material.train), UNKNOWN)
    proba = np.mean([softmax(fused_logits(model, tokens, params.n_threads)) for model in teachers], axis=0)
    soft = np.log(np.maximum(proba, 1e-12)).astype(np.float32)
    model = student_of(teachers[0], spread_layers(teachers[0], 3))
    how = params.model_copy(update={"n_epochs": 2, "min_steps": 0, "learning_rate": 3e-4, "head_rate": 1})
    examples = Examples(tokens, np.concatenate([material.train.hard, unknown]), soft)
    _fit(model, examples, material, how, np.zeros(material.n_classes), None, temperature=2.0, soft_weight=0.7)
    return model


def _fit(
    model: Any,
    learned: Examples,
    material: Material,
    params: Any,
    offset: NDArray[np.float64],
    learner: Any,
    **soft: Any,
) -> None:
    fit(
        model,
        learned,
        material.validation,
        params,
        SCRATCH / "recipes" / "fit",
        metric=material.metric,
        prior_offset=offset.tolist(),
        learner=learner,
        **soft,
    )


def pool_tokens(material: Material, n: int) -> list[Tokens]:
    """Tokens of so many texts of the pool, at most, drawn by the params' seed."""
    rows = np.random.default_rng(material.params.seed).permutation(len(material.pool))[:n]
    tokenizer = load_tokenizer(material.backbone, material.params.max_tokens)
    return encode(tokenizer, [material.pool[row] for row in rows])


def flipped(examples: Examples, n_classes: int, seed: int) -> Examples:
    """A share of `NOISE` of the labels exchanged for another class, at random."""
    rng = np.random.default_rng(seed)
    hard = examples.hard.copy()
    rows = rng.permutation(len(hard))[: round(NOISE * len(hard))]
    hard[rows] = (hard[rows] + rng.integers(1, n_classes, len(rows))) % n_classes
    return replace(examples, hard=hard)


TECHNIQUES: dict[str, Techniques] = {
    "whole": WHOLE,
    "plain": PLAIN,
    "− head first": replace(WHOLE, head_first=False),
    "− mean pooling": replace(WHOLE, mean_pooling=False),
    "− minimum steps": replace(WHOLE, min_steps=False),
    "lora": replace(WHOLE, method="lora"),
    "last layers": replace(WHOLE, method="last_layers"),
    "contrastive": replace(WHOLE, method="contrastive"),
    "noise": replace(WHOLE, noise=True),
    "noise + robust loss": replace(WHOLE, noise=True, robust_loss=True),
    "+ self-training": replace(WHOLE, self_training=True),
    "+ pool adaptation": replace(WHOLE, pool_adaptation=True),
    "+ ensemble": replace(WHOLE, ensemble=True),
    "student": replace(WHOLE, student=True),
    "student + ensemble": replace(WHOLE, student=True, ensemble=True),
    "head first alone": replace(PLAIN, head_first=True),
    "mean pooling alone": replace(PLAIN, mean_pooling=True),
    "minimum steps alone": replace(PLAIN, min_steps=True),
    "+ robust loss": replace(WHOLE, robust_loss=True),
    "− logit adjustment": replace(WHOLE, logit_adjustment=False),
    "logit adjustment alone": replace(PLAIN, logit_adjustment=True),
    "lora alone": replace(PLAIN, method="lora"),
    "last layers alone": replace(PLAIN, method="last_layers"),
    "contrastive alone": replace(PLAIN, method="contrastive"),
}
"""Name of the row → its recipe; in the order in which they run."""
ALONE = " alone"
REFERENCES = {
    **{name: "plain" for name in TECHNIQUES if name.endswith(ALONE)},
    "noise + robust loss": "noise",
    "student + ensemble": "student",
}
"""Row → the row that it is compared with, where that is not the whole recipe."""
OWNED = {
    "− head first": "models/probe.py, head_start.py; scikit-learn, which is there",
    "− mean pooling": "models/pooling.py",
    "− logit adjustment": "measure/prior.py",
    "− minimum steps": "a param",
    "lora": "a method; the package peft",
    "last layers": "a method",
    "contrastive": "models/contrastive.py, a method",
    "+ robust loss": "a loss of five lines",
    "noise + robust loss": "as + robust loss",
    "+ self-training": "a second fit in train, over the pool too",
    "+ pool adaptation": "a loss and a fit before the probe, embeddings of its own",
    "+ ensemble": "a fit a seed; a model that only teaches",
    "student + ensemble": "as + ensemble",
}
"""Row → what it costs to own the technique. None is a stage of its own."""
