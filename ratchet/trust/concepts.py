"""Which concepts, given as example texts, a prediction depends on: testing with concept activation vectors (TCAV).

A concept is a direction in a layer: the normal of the plane that parts its examples from random texts. Its score for a
class is the share of the class's texts whose class becomes more probable in that direction. A direction between two
sets of random texts scores anything, so a concept counts only when its scores differ from those.

Source: Kim et al. 2018, https://arxiv.org/abs/1711.11279. Captum's own TCAV keeps its vectors as pickles and its
examples in loaders of its own; its formula is computed here on activations that were read once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import TableError
from ratchet.measure.estimate import Estimate
from ratchet.models.batching import pad
from ratchet.models.torch_predictor import TorchPredictor

Matrix = NDArray[np.float64]
MIN_EXAMPLES = 8


def read_concepts(folder: Path) -> dict[str, list[str]]:
    """Concept → its example texts: each `NAME.txt` with a text a line, each subfolder `NAME/` with a text a file.

    A task may have none: no such file, or no folder at all.

    Raises:
        TableError: a concept has too few examples.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_dir():
            texts = [item.read_text(encoding="utf-8") for item in sorted(path.glob("*.txt"))]
        elif path.suffix == ".txt":
            texts = path.read_text(encoding="utf-8").split("\n")  # a text may hold U+2028
        else:
            continue
        found[path.stem] = [" ".join(text.split()) for text in texts if text.strip()]
        if len(found[path.stem]) < MIN_EXAMPLES:
            raise TableError(
                "A concept has too few examples.",
                where=path,
                got=len(found[path.stem]),
                expected=f"at least {MIN_EXAMPLES} texts",
                fix="add texts that show it, or remove the concept",
            )
    return found


def activations(predictor: TorchPredictor, texts: Sequence[str], layer: int) -> Matrix:
    """The mean over tokens of a layer's output, (n_texts, width)."""
    import torch

    rows = []
    with torch.no_grad():
        for tokens in predictor.encode(texts):
            rows.append(_hidden(predictor, tokens, layer)[0].mean(dim=1)[0].double().cpu().numpy())
    return np.stack(rows)


def gradients(predictor: TorchPredictor, texts: Sequence[str], layer: int, target: int) -> Matrix:
    """How the logit of a class changes as all tokens of a layer move one way, (n_texts, width)."""
    import torch

    rows = []
    for tokens in predictor.encode(texts):
        hidden, logits = _hidden(predictor, tokens, layer)
        (gradient,) = torch.autograd.grad(logits[0, target], hidden)
        rows.append(gradient.sum(dim=1)[0].double().cpu().numpy())
    return np.stack(rows)


def concept_scores(
    concepts: Mapping[str, Matrix],
    pool: Matrix,
    class_gradients: Mapping[str, Matrix],
    n_random: int,
    alpha: float,
    seed: int,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Class → concept → its TCAV score, in [0, 1], against sets of random texts, and whether it differs from chance.

    Args:
        concepts: activations of the examples of each, (n_examples, width).
        pool: activations of texts that random sets are drawn from, (n_texts, width).
        class_gradients: class → gradients of its logit on texts of that class, (n_texts, width).
        n_random: random sets; each is a partner of the concept, and of another random set.
        alpha: chance of any false finding; the p-values are multiplied by the number of tests, one for each concept and
            class (Bonferroni).
        seed: of the random sets.

    The p-value is that of Welch's t-test between the concept's scores and those of random sets of the same size. 0.5
    says nothing; above: the concept speaks for the class, below: against it.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {label: {} for label in class_gradients}
    n_tests = len(concepts) * len(class_gradients)
    for index, (name, examples) in enumerate(concepts.items()):
        rng = np.random.default_rng([seed, index])
        size = min(len(examples), len(pool) // 2)
        towards, between = [], []  # directions: from random texts to the examples, and to other random texts
        for _ in range(n_random):
            drawn = rng.permutation(len(pool))
            one, other = pool[drawn[:size]], pool[drawn[size : 2 * size]]
            towards.append(_direction(examples, one))
            between.append(_direction(other, one))
        for label, of_class in class_gradients.items():
            # share of texts whose class gains in the direction
            own, chance = ([float((of_class @ way > 0).mean()) for way in ways] for ways in (towards, between))
            adjusted = min(_welch(own, chance) * n_tests, 1.0)
            found[label][name] = {
                "score": _spread(own).to_json(),
                "random_score": _spread(chance).to_json(),
                "p_value": adjusted,
                "significant": adjusted < alpha,
                "n_examples": len(examples),
            }
    return found


def _welch(own: Sequence[float], chance: Sequence[float]) -> float:
    """The p-value of Welch's t-test; of scores that do not vary at all: 1 where they are alike, 0 where they differ."""
    from scipy import stats

    if np.ptp(own) == np.ptp(chance) == 0:
        return float(own[0] == chance[0])
    told = ((np.mean(scores), np.std(scores, ddof=1), len(scores)) for scores in (own, chance))
    return float(stats.ttest_ind_from_stats(*next(told), *next(told), equal_var=False).pvalue)


def _direction(examples: Matrix, random: Matrix) -> NDArray[np.float64]:
    """The normal of the plane that parts random texts from the examples, towards these, (width,)."""
    from sklearn.linear_model import LogisticRegression

    x, y = np.concatenate([examples, random]), np.repeat([1, 0], [len(examples), len(random)])
    scale = x.std(axis=0) + 1e-9
    plane = LogisticRegression(C=0.1, max_iter=500).fit((x - x.mean(axis=0)) / scale, y)
    normal: NDArray[np.float64] = plane.coef_[0] / scale
    return normal


def _spread(scores: Sequence[float]) -> Estimate:
    """The mean over random sets with the middle 95 % of the scores, not an interval of the mean."""
    low, high = np.percentile(scores, [2.5, 97.5])
    return Estimate(float(np.mean(scores)), float(low), float(high), len(scores))


def _hidden(predictor: TorchPredictor, tokens: Sequence[int], layer: int) -> tuple[Any, Any]:
    """The output of a layer, (1, tokens, width), and the logits that follow from it, (1, n_classes)."""
    import torch

    model = predictor.model
    ids, mask = (torch.from_numpy(array).to(model.device) for array in pad([list(tokens)]))
    output = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    return output.hidden_states[layer], output.logits
