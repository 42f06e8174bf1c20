"""SHAP values along a tree of words: Owen values, as a search that can run beside many others.

The shap package's partition explainer asks for six texts at a time and waits for each answer; here the same recursion
is a generator (`ratchet.trust.lockstep`), so that the questions of many texts share a batch. Given the same tree, the
same texts are asked, and the values are the same: a test holds both against each other.

Source: Owen 1977, Values of games with a priori unions; the recursion is that of shap's `PartitionExplainer`
(https://shap.readthedocs.io), with its order of work: the branch with the largest change first.
"""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import ParamsError
from ratchet.models.predictor import Proba
from ratchet.trust.lockstep import Question

Mask = NDArray[np.bool_]
Row = NDArray[np.float64]
STOPS = re.compile(r"[.!?;:…。！？；：؟؛।]")
PAUSES = re.compile(r"[,()\[\]–—\"，、（）「」《》،«»“”]|--")
BRANCHES_A_ROUND = 3
"""Branches opened before their answers are looked at, two texts each; as shap does for texts."""


class Node(NamedTuple):
    """A run of neighbouring words; one word is a leaf."""

    start: int
    end: int
    left: Node | None = None
    right: Node | None = None


class Branch(NamedTuple):
    """A node in a context: probabilities without (`low`) and with (`high`) its words beside those of `context`."""

    node: Node
    context: Mask
    low: Row
    high: Row
    weight: float


def owen_search(
    tree: Node, text_of: Callable[[Mask], Question], max_evals: int
) -> Generator[Sequence[Question], Proba, tuple[NDArray[np.float64], Row]]:
    """Values of the words (n_words, n_classes), and the probabilities without any word, (n_classes,).

    Args:
        tree: over all words.
        text_of: the text in which the words that are True are kept, or its token ids.
        max_evals: texts to ask for at most, give or take one round; a node that is not opened within it shares its
            value evenly among its words. The values add up to the prediction, however few are asked.
    """
    n_words = tree.end
    none, every = np.zeros(n_words, dtype=bool), np.ones(n_words, dtype=bool)
    base, full = yield [text_of(none), text_of(every)]
    values, count, n_asked = np.zeros((n_words, len(base))), itertools.count(), 2
    queue = [(0.0, 0, Branch(tree, none, base, full, 1.0))]
    while queue:
        opened: list[Branch] = []
        while queue and len(opened) < BRANCHES_A_ROUND and n_asked + 2 * len(opened) < max_evals:
            branch = heapq.heappop(queue)[2]
            if branch.node.left is None:
                values[branch.node.start] += (branch.high - branch.low) * branch.weight
            else:
                opened.append(branch)
        if not opened:
            break
        proba = yield [text_of(mask) for branch in opened for mask in _halves(branch)]
        n_asked += 2 * len(opened)
        for branch, answers in zip(opened, proba.reshape(len(opened), 2, -1), strict=True):
            for child in _children(branch, answers):
                heapq.heappush(queue, (-float(np.abs(child.high - child.low).max()) * child.weight, next(count), child))
    for _, _, branch in queue:
        node = branch.node
        values[node.start : node.end] += (branch.high - branch.low) * branch.weight / (node.end - node.start)
    return values, base


def phrase_tree(text: str, spans: Sequence[tuple[int, int]]) -> Node:
    """A tree over the words that parts at the ends of sentences first, then at commas and brackets, then in the middle:
    of equal places the most central one.

    >>> tree = phrase_tree("Late, but it came.", [(0, 4), (6, 9), (10, 12), (13, 17)])
    >>> (tree.left.start, tree.left.end), (tree.right.start, tree.right.end)
    ((0, 1), (1, 4))
    """
    gaps = [text[end:start] for (_, end), (start, _) in itertools.pairwise(spans)]
    strength = [2 if STOPS.search(gap) else 1 if PAUSES.search(gap) else 0 for gap in gaps]

    def grow(start: int, end: int) -> Node:
        if end - start == 1:
            return Node(start, end)
        at = max(range(start + 1, end), key=lambda cut: (strength[cut - 1], -abs(2 * cut - start - end)))
        return Node(start, end, grow(start, at), grow(at, end))

    return grow(0, len(spans))


def linkage_of(tree: Node) -> NDArray[np.float64]:
    """The tree as scipy's `linkage` and shap write trees, (n_words − 1, 4): left, right, distance 1, words.

    >>> linkage_of(phrase_tree("a b", [(0, 1), (2, 3)])).tolist()
    [[0.0, 1.0, 1.0, 2.0]]
    """
    rows: list[list[float]] = []

    def link(node: Node) -> int:
        if node.left is None or node.right is None:
            return node.start
        rows.append([link(node.left), link(node.right), 1.0, node.end - node.start])
        return tree.end + len(rows) - 1

    link(tree)
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def tree_of(linkage: NDArray[np.float64], n_words: int) -> Node:
    """The inverse of `linkage_of`.

    Raises:
        ParamsError: a group holds words that are no neighbours.
    """
    nodes = [Node(index, index + 1) for index in range(n_words)]
    for first, second in linkage[:, :2].astype(int):
        left, right = sorted((nodes[first], nodes[second]), key=lambda node: node.start)
        if left.end != right.start:
            raise ParamsError(
                "The masker groups words that are no neighbours.",
                where="its `clustering`",
                got=f"words {left.start} to {left.end - 1} with {right.start} to {right.end - 1}",
                expected="a tree over the words in their order",
                fix="use a masker of texts, such as shap.maskers.Text",
            )
        nodes.append(Node(left.start, right.end, left, right))
    return nodes[-1]


def n_questions(tree: Node) -> int:
    """Texts that `owen_search` asks for until every group is opened; a group d levels down is met in 2^d contexts.

    >>> n_questions(phrase_tree("a b c d", [(0, 1), (2, 3), (4, 5), (6, 7)]))
    12
    """

    def opened(node: Node, contexts: int) -> int:
        if node.left is None or node.right is None:
            return 0
        return 2 * contexts + opened(node.left, 2 * contexts) + opened(node.right, 2 * contexts)

    return 2 + opened(tree, 1)


def random_tree(n_words: int, rng: np.random.Generator) -> Node:
    """A tree over the words with every split drawn at random: another order in which neighbours count as one.

    >>> random_tree(1, np.random.default_rng(0))
    Node(start=0, end=1, left=None, right=None)
    """

    def grow(start: int, end: int) -> Node:
        if end - start == 1:
            return Node(start, end)
        middle = int(rng.integers(start + 1, end))
        return Node(start, end, grow(start, middle), grow(middle, end))

    return grow(0, n_words)


def _halves(branch: Branch) -> tuple[Mask, Mask]:
    """The context with the left words of the node, and with the right ones."""
    with_left, with_right = branch.context.copy(), branch.context.copy()
    left, right = branch.node.left, branch.node.right
    if left is not None and right is not None:
        with_left[left.start : left.end] = True
        with_right[right.start : right.end] = True
    return with_left, with_right


def _children(branch: Branch, answers: Proba) -> list[Branch]:
    """Each half of the node, once without and once with the other half: half of the weight each."""
    with_left, with_right = _halves(branch)
    left, right, weight = branch.node.left, branch.node.right, branch.weight / 2
    if left is None or right is None:
        return []
    return [
        Branch(left, branch.context, branch.low, answers[0], weight),
        Branch(right, branch.context, branch.low, answers[1], weight),
        Branch(left, with_right, answers[1], branch.high, weight),
        Branch(right, with_left, answers[0], branch.high, weight),
    ]
