"""The batched search as an explainer of shap's own kind, its masker, and whether shap's own explainers agree.

`WordExplainer` is used as `shap.Explainer` is, and what it returns goes into shap's plots; many texts share each batch.
This module imports shap, and so is imported where it is needed.

Source: Lundberg & Lee 2017, https://arxiv.org/abs/1705.07874, by the shap package, https://shap.readthedocs.io.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import shap
from numpy.typing import NDArray

from ratchet.data.words import word_spans
from ratchet.models.predictor import Predictor, Proba
from ratchet.trust.attributions import Values, keep_words, question_of, search_values, segments, shapley_search
from ratchet.trust.lockstep import Question, Score, cached_score, run_together
from ratchet.trust.owen_values import Mask, linkage_of, n_questions, owen_search, phrase_tree, tree_of

N_EVALS = 500
"""Masked texts for one explanation where none are named, as in shap."""
MAX_QUESTIONS = 300
"""Masked texts for a text that is recomputed; of a longer one only its first words are."""


class WordMasker(shap.maskers.Masker):
    """Leaves words out of a text, as `keep_words` does, and groups them by phrases (`phrase_tree`)."""

    text_data = True
    immutable_outputs = True
    default_batch_size = 5  # of shap's own masker for texts

    def __call__(self, mask: bool | Mask, text: str) -> tuple[NDArray[np.str_]]:
        kept = self._standardize_mask(mask, text)
        return (np.array([keep_words(text, word_spans(text), kept)]),)

    def shape(self, text: str) -> tuple[int, int]:
        """Masked texts for one mask, and words."""
        return (1, len(word_spans(text)))

    def mask_shapes(self, text: str) -> list[tuple[int]]:
        """Of the mask of each argument."""
        return [(len(word_spans(text)),)]

    def feature_names(self, text: str) -> list[list[str]]:
        """The words."""
        return [[text[start:end] for start, end in word_spans(text)]]

    def data_transform(self, text: str) -> list[NDArray[np.object_]]:
        """The text in one piece a word, which together are the text."""
        return [np.array(segments(text, word_spans(text)), dtype=object)]

    def clustering(self, text: str) -> NDArray[np.float64]:
        """The phrase tree as scipy's `linkage` writes trees."""
        return linkage_of(phrase_tree(text, word_spans(text)))


class UngroupedMasker(WordMasker):
    """The same without groups: any set of words may be left out, as Shapley values need it."""

    clustering = None  # type: ignore[assignment]


class WordExplainer(shap.explainers.PartitionExplainer):
    """SHAP values of texts by any predictor, or by any model and masker of texts that shap takes.

    A call takes the texts of a batch, asks the model for what all of them want to know at once, and returns a
    `shap.Explanation`. Values are those of `attribute`: Shapley's where all sets of words fit in `max_evals`, else
    Owen's along the masker's tree. A fixed context or a link other than the identity is left to shap's own search.

        explanation = WordExplainer(load(Path("models/teacher"), 2))(texts)
        shap.plots.waterfall(explanation[0, :, 0])  # the first text, towards the first class
    """

    def __init__(
        self, model: Any, masker: Any = None, *, output_names: list[str] | None = None, **options: Any
    ) -> None:
        """See `shap.explainers.PartitionExplainer`.

        Args:
            model: a `Predictor`, or a callable on texts.
            masker: None: `WordMasker`; or one of shap's for texts, such as `shap.maskers.Text`.
            output_names: names of the columns; None: a predictor's classes.
            options: shap's.
        """
        predictor = model if isinstance(model, Predictor) else None
        self._found: dict[str, Values] = {}
        if predictor is not None:
            score = cached_score(predictor)
            output_names = output_names or predictor.labels
            model = lambda texts: score([str(text) for text in texts])  # noqa: E731
        super().__init__(model, WordMasker() if masker is None else masker, output_names=output_names, **options)
        self._predictor = predictor
        self._score = score if predictor is not None else _remembering(self.model)

    def __call__(
        self,
        *args: Any,
        max_evals: int | str = N_EVALS,
        fixed_context: int | None = None,
        main_effects: bool = False,
        error_bounds: bool = False,
        batch_size: int | str = "auto",
        outputs: Any = None,
        silent: bool = False,
    ) -> Any:
        """A `shap.Explanation` of the texts, the first argument; the others as shap's explainer takes them."""
        if fixed_context is None and len(args) == 1 and self._is_own_search():
            texts = args[0]["text"] if isinstance(args[0], dict) else args[0]
            self._found = self._search([str(text) for text in texts], _n_evals(max_evals))
        try:
            return super().__call__(
                *args,
                max_evals=max_evals,
                fixed_context=fixed_context,
                main_effects=main_effects,
                error_bounds=error_bounds,
                batch_size=batch_size,
                outputs=outputs,
                silent=silent,
            )
        finally:
            self._found = {}

    def explain_row(self, *row_args: Any, max_evals: int | str, outputs: Any, **options: Any) -> dict[str, Any]:
        """One text's part of the explanation, from the search that was made for all of them."""
        if options.get("fixed_context") not in (None, "auto") or not self._is_own_search():
            found: dict[str, Any] = super().explain_row(*row_args, max_evals=max_evals, outputs=outputs, **options)
            return found
        text = str(row_args[0])
        values, base = self._found.get(text) or self._search([text], _n_evals(max_evals))[text]
        if outputs is None:
            outputs = np.arange(len(base))
        elif isinstance(outputs, shap.utils.OpChain):
            outputs = outputs.apply(shap.Explanation(base + values.sum(axis=0))).values
        return {
            "values": values[:, outputs],
            "expected_values": base[outputs],
            "mask_shapes": [(len(values), len(outputs))],
            "main_effects": None,
            "clustering": self.masker.clustering(text),
            "output_indices": outputs,
            "output_names": getattr(self.model, "output_names", None),
        }

    def _is_own_search(self) -> bool:
        return self.link is shap.links.identity and callable(self.masker.clustering)

    def _search(self, texts: Sequence[str], max_evals: int) -> dict[str, Values]:
        different = list(dict.fromkeys(texts))
        if self._predictor is not None and type(self.masker) is WordMasker:
            found = search_values(self._predictor, self._score, different, max_evals)
            return dict(zip(different, found, strict=True))
        searches = [self._search_of(text, max_evals) for text in different]
        return dict(zip(different, run_together(searches, self._score), strict=True))

    def _search_of(self, text: str, max_evals: int) -> Generator[Sequence[Question], Proba, Values]:
        n_words = self.masker.shape(text)[1]

        def question(mask: Mask) -> Question:
            return str(self.masker(mask, text)[0][0])

        if 2**n_words <= max_evals:
            return shapley_search(n_words, question)
        return owen_search(tree_of(self.masker.clustering(text), n_words), question, max_evals)


def shap_difference(predictor: Predictor, score: Score, texts: Sequence[str], max_evals: int) -> NDArray[np.float64]:
    """Largest difference of each text's values from those of shap's own explainer, (n_texts,), in probability.

    Both open every group of words: shap's `PartitionExplainer` beside the batched search, or `ExactExplainer` where the
    values are Shapley's by definition, and both are answered by the same score, so that what differs is their doing.
    0: the same. A text of more than `MAX_QUESTIONS` is cut after its first words.

    Args:
        predictor: whose predictions are explained.
        score: its probabilities of texts, remembered.
        texts: with words.
        max_evals: masked texts that an explanation may take, which decides between the two kinds of values.
    """
    model = lambda asked: score([str(text) for text in asked])  # noqa: E731
    differences = []
    for text in map(_first_words, texts):
        spans = word_spans(text)
        question, exact = question_of(predictor, text, spans), 2 ** len(spans) <= max_evals
        n_evals = n_questions(phrase_tree(text, spans))
        if exact:
            explain = shap.explainers.ExactExplainer(model, UngroupedMasker())
            search = shapley_search(len(spans), question)
        else:
            explain = shap.explainers.PartitionExplainer(model, WordMasker())
            search = owen_search(phrase_tree(text, spans), question, n_evals)
        ((values, _),) = run_together([search], score)
        expected = explain(np.array([text]), max_evals=max(n_evals, 2 ** len(spans) if exact else 0), silent=True)
        differences.append(float(np.abs(np.asarray(expected.values[0]) - values).max()))
    return np.array(differences)


def _first_words(text: str) -> str:
    """The text up to the last word with which all of its groups can be opened by `MAX_QUESTIONS`."""
    spans = word_spans(text)
    most = math.isqrt(2 * MAX_QUESTIONS)  # a balanced tree over n words takes about 2/3 n² questions, any other more
    n_words = min(len(spans), most)
    while n_questions(phrase_tree(text, spans[:n_words])) > MAX_QUESTIONS:
        n_words -= 1
    return text if n_words == len(spans) else text[: spans[n_words - 1][1]]


def _n_evals(max_evals: int | str) -> int:
    return N_EVALS if isinstance(max_evals, str) else max_evals


def _remembering(model: Callable[[NDArray[np.str_]], Proba]) -> Score:
    """The model's answers, each different text asked once."""
    known: dict[Question, NDArray[np.float64]] = {}

    def score(questions: Sequence[Question]) -> Proba:
        new = [question for question in dict.fromkeys(questions) if question not in known]
        if new:
            known.update(zip(new, np.asarray(model(np.array(new))), strict=True))
        return np.array([known[question] for question in questions])

    return score
