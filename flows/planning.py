"""A run in so many minutes: what does not fit is set aside in params.yaml, before the run and for all to see.

Minutes become counts once, by this machine's measured speed; stages read counts and never a clock, so that `dvc repro`
gives the same wherever it runs. What was set aside stands in the block `plan` and comes back with more minutes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ruamel.yaml.comments import CommentedMap

from flows.checks.backbones import first_backbone
from flows.checks.blocks import PLAN
from flows.checks.project import PARAMS, read_project
from flows.checks.resources import corpus_now, sizes_bought
from flows.checks.run_time import encoder_of, n_threads
from flows.init.task_files import dump, parse, set_values
from flows.init.writing import replace_all
from ratchet.errors import ParamsError
from ratchet.measure.stage_costs import INFERENCE, Encoder
from ratchet.measure.time_plan import Plan, plan_within, values_of
from ratchet.models.backbone_files import Backbone
from ratchet.params import check_params
from ratchet.task import Task

HEADING = "\n# what `ratchet run --minutes` set aside: key, and its value with nothing left out\n"
"""Before that block, which is the last of the file."""
N_TIMED, N_WORDS, N_TIMES = 128, 24, 3
"""Texts, words a text and repetitions that the speed is measured with."""
LEAST_S = 1e-3
"""What the texts take, at least: on a busy machine three times as many may take no longer."""


@dataclass(frozen=True)
class Change:
    """What a plan makes of params.yaml."""

    plan: Plan
    before: dict[str, Any]
    """Dotted key → its value with nothing set aside, of those that the plan lowers."""
    after: dict[str, Any]
    """The same keys → what they are in this run."""
    content: bytes
    """params.yaml."""

    def lines(self, minutes: float) -> list[str]:
        """What a person should know before the run."""
        told = f"{self.plan.minutes:.0f} minutes expected of {minutes:g}"
        if not self.after:
            return [f"Plan: nothing is left out, about {told}."]
        changed = [f"  {key}: {_short(self.before[key])} → {_short(self.after[key])}" for key in self.after]
        more = f"{self.plan.minutes_for_all:.0f} minutes leave nothing out; params.yaml keeps what was set aside"
        return [f"Plan: about {told}, with less of these:", *changed, f"  {more}"]


def plan_run(root: Path, minutes: float, operations_per_s: float | None = None) -> Change:
    """What of the task's sizes and rungs fits into the minutes.

    Args:
        root: the repository.
        minutes: that the run may take.
        operations_per_s: floating point operations a second in the backbone's passes; None: they are timed.

    Raises:
        ParamsError: params.yaml does not hold, or the backbone is not on this machine, so that nothing can be told.
    """
    text, _, block = (root / PARAMS).read_text(encoding="utf-8").partition(HEADING)
    tree = parse(text.encode())
    set_values(tree, parse(block.encode())[PLAN]["set_aside"] if block else {})
    project = read_project(root)
    project.task = check_params(Task, "task", project.params.get("task"))
    backbone = first_backbone(project)
    if backbone is None or not backbone.shapes:
        raise ParamsError(
            "A run cannot be planned without its backbone.",
            where=project.param("task", "backbones"),
            got="a backbone that is not on this machine",
            fix="fetch it first, by a run without --minutes; or name a package or a folder",
        )
    whole = sizes_bought(lambda key: _value(tree, key))
    encoder = encoder_of(backbone)
    if operations_per_s is None:
        operations_per_s = measured_speed(backbone, encoder, project.task)
    corpus = corpus_now(project, whole.max_tokens)
    plan = plan_within(corpus, encoder, whole, minutes, operations_per_s)
    wanted, asked = values_of(plan.sizes), values_of(whole)
    after = {key: value for key, value in wanted.items() if value != asked[key]}
    before = {key: _value(tree, key) for key in after}
    set_values(tree, {**after, "task.minutes": minutes if minutes % 1 else int(minutes)})
    content = dump(tree)
    if after:
        aside = CommentedMap({PLAN: CommentedMap(set_aside=None)})
        set_values(aside, {f"{PLAN}.set_aside": before})
        content += HEADING.encode() + dump(aside)
    return Change(plan, before, after, content)


def apply(root: Path, minutes: float) -> None:
    """Plan a run, show the plan, and write it into params.yaml.

    Raises:
        ParamsError: as `plan_run`, or the minutes are none.
    """
    if not minutes > 0:
        raise ParamsError("A run takes some minutes.", where="--minutes", got=minutes, expected="a number above 0")
    change = plan_run(root, minutes)
    print("\n".join(change.lines(minutes)), flush=True)
    if change.content != (root / PARAMS).read_bytes():
        replace_all(root, {PARAMS: change.content}, {})


def measured_speed(backbone: Backbone, encoder: Encoder, task: Task) -> float:
    """Floating point operations a second of the backbone's passes here: the median of some, to two digits.

    Through the function with which the stage `embed` embeds, which also loads the model: so what counts is how much
    longer three times the texts take.
    """
    from ratchet.embeddings.encoder import embed
    from ratchet.models.backbones import resolve_backbone

    folder = resolve_backbone(task.backbones[0].source, task.backbones[0].sha256)
    texts = [" ".join(["word"] * N_WORDS)] * N_TIMED
    n_tokens = 2 * sum(len(item.ids) for item in backbone.text_tokenizer.encode_batch(texts))

    def seconds(repeats: int) -> float:
        start = time.perf_counter()
        embed(folder, repeats * texts, 2 * N_WORDS, n_threads(task), 32)
        return time.perf_counter() - start

    seconds(1)  # imports, and a first pass that warms up
    longer = median(seconds(3) - seconds(1) for _ in range(N_TIMES))
    return float(f"{INFERENCE * encoder.n_parameters * n_tokens / max(longer, LEAST_S):.2g}")


def _value(tree: Mapping[str, Any], dotted: str) -> Any:
    """A value of params.yaml, its lists as plain ones; None: there is none."""
    block, name = dotted.split(".")
    found = (tree.get(block) or {}).get(name)
    return list(found) if isinstance(found, list) else found


def _short(value: Any) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
