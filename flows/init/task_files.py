"""The files of a task: params.yaml, live.yaml, policy.yaml, and those of data/ that people may edit.

What belongs to no task, such as learning rates and sizes of a bootstrap, is the demo's.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from flows.init.plan import TaskPlan
from flows.init.sources import WATCH, Place
from ratchet.gates.proposals import Facts, propose_gates
from ratchet.params import read_yaml
from ratchet.trust.slices import LANGUAGE, LENGTH

BASE = Path("examples/films")
"""The example whose values stand wherever the task says nothing."""
NEUTRAL = Path(__file__).with_name("neutral")
"""The files of a task of which nothing is known but its texts."""
LANGUAGES = Path(__file__).with_name("languages.yaml")


def task_files(
    root: Path, base: Any, plan: TaskPlan, place: Place, sizes: Mapping[str, Any], suites: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Path → content of every file of the task but its concepts.

    Args:
        root: the repository, whose live.yaml and policy.yaml are the task's but for what is named here.
        base: the params of the base, which are changed into the task's.
        plan: the task.
        place: its source.
        sizes: dotted key of params.yaml → value, of what fits into the minutes.
        suites: name → the suites of data/suites.
    """
    language = lexicon(plan.languages)
    attributes = list(language["identity"].get("attributes", {}))
    mixed = [LANGUAGE] if len(plan.languages) > 1 else []
    features = [LENGTH, *mixed, *language["features"]]
    facts = gate_facts(plan, language)
    files = {
        "params.yaml": _params(base, plan, place, sizes, features, attributes, facts),
        "live.yaml": _live(root, plan.regions, features, attributes),
        "policy.yaml": _policy(root, plan),
        **{f"data/{name}": content for name, content in _cases(language).items()},
        **{f"data/suites/{name}": content for name, content in suites.items()},
    }
    if place.watch == WATCH:
        files[WATCH] = b"Change this line when the source is to be read again: DVC sees no URL and no database.\n1\n"
    return files


@cache
def _known() -> dict[str, Any]:
    return read_yaml(LANGUAGES)


def lexicon(languages: Sequence[str]) -> dict[str, Any]:
    """What is known of the language of a task; of one in several languages, or in one that has no lexicon, nothing.

    Keys: stemmer, articles, harmless, contractions, features (name → pattern), identity.
    """
    alone = languages[0] if len(languages) == 1 else ""
    known = _known()["lexicons"].get(alone, {})
    return {
        "stemmer": _known()["stemmers"].get(alone, ""),
        "articles": known.get("articles", {}),
        "harmless": known.get("harmless", []),
        "contractions": known.get("contractions", []),
        "features": {"negation": known["negation"]} if "negation" in known else {},
        "identity": known.get("identity", {}),
    }


def _cases(language: Mapping[str, Any]) -> dict[str, bytes]:
    """File below data/ → the neutral file, with what is known of the language: cases that hold for any text."""
    values: dict[str, dict[str, Any]] = {
        "challenge/invariance.yaml": {"contractions": language["contractions"]},
        "lexicons/features.yaml": {"patterns": language["features"]},
        "lexicons/harmless.yaml": {"words": language["harmless"]},
        "lexicons/language.yaml": {"stemmer": language["stemmer"], "articles": language["articles"]},
        "lexicons/identity.yaml": language["identity"],
    }
    if language["contractions"]:
        values["behaviour/suite.yaml"] = {"tests.contractions": {"kind": "invariance", "edit": "contractions"}}
    files = {}
    for path in sorted(NEUTRAL.rglob("*.*")):
        name, content = path.relative_to(NEUTRAL).as_posix(), path.read_bytes()
        if name in values:
            tree = parse(content)
            set_values(tree, values[name])
            content = dump(tree, width=120)
        files[name] = content
    return files


def gate_facts(plan: TaskPlan, language: Mapping[str, Any]) -> Facts:
    """What decides which gates the task can be asked to pass, with the cases that init writes."""
    return Facts(
        n_classes=len(plan.classes),
        has_selected=bool(plan.selected),
        has_people=bool(language["identity"] or plan.sensitive),
        has_swaps=bool(language["identity"]),
        behaviour_kinds=frozenset({"invariance"}),
    )


def _params(
    tree: Any,
    plan: TaskPlan,
    place: Place,
    sizes: Mapping[str, Any],
    features: list[str],
    attributes: list[str],
    facts: Facts,
) -> bytes:
    slices = [*features, *(["source"] if plan.source else [])]
    columns = [*plan.sensitive, *plan.metadata]
    set_values(
        tree,
        {
            "task.classes": [{"name": name, "values": values} for name, values in plan.classes.items()],
            "task.text_column": plan.text,
            "task.label_column": plan.label,
            "task.ignored_labels": list(plan.dropped),
            "task.id_column": plan.id,
            "task.source_column": plan.source,
            "task.time_column": plan.time,
            "task.group_column": plan.group,
            "task.metadata_columns": columns,
            "task.languages": plan.languages,
            "task.selected": plan.selected,
            "task.primary_metric": plan.metric,
            "ingest.source": place.block,
            "ingest.watch": place.watch,
            "validate.regions": plan.regions,
            "split.train_sources": [],
            "split.n_transfer": 0,
            "task.minutes": plan.minutes,
            "sample.budget": "all",
            "challenge.features": slices,
            "train.slices": slices,
            "train.mitigated_attribute": next(iter(attributes), ""),
            "train.attributes": attributes[:1],
            "evaluate.slices": features,
            "explain.slices": features,
            "audit.features": slices,
            "audit.columns": columns,
            "audit.attributes": attributes,
            "audit.intersections": [],
            "audit.threshold_attribute": next(iter(attributes), ""),
            **sizes,
            "report.title": plan.name,
            "report.description": f"Takes a text ({', '.join(plan.languages)}) and returns the probability of each of "
            f"{len(plan.classes)} classes.",
            "report.intended_use": "Not stated yet: say for what, and by whom, the model is meant to be used.",
            "report.out_of_scope": "Texts in other languages, other kinds of text, and decisions about "
            "the people who wrote them.",
            "report.ethical_considerations": [
                "Not stated yet: say whom errors or misuse may harm, and what was done about it."
            ],
            "report.caveats": [
                "Labels were taken from the data as they came; nobody checked how far people agree on them.",
                "A model trained on one kind of text loses accuracy on others.",
            ],
        },
    )
    gates = [item.gate.model_dump() for item in propose_gates(facts)]
    tree["promote"]["gates"] = CommentedSeq([_flow(gate) for gate in gates])
    tree.yaml_set_comment_before_after_key("report", before="\n")  # the empty line went with the last gate
    return dump(tree)


def _live(root: Path, regions: list[str], features: list[str], attributes: list[str]) -> bytes:
    tree = load(root / "live.yaml")
    values: dict[str, Any] = {
        "log.regions": regions,
        "rollout.guardrails.features": features,
        "rollout.guardrails.attributes": attributes[:1],
    }
    set_values(tree, {**values, "monitor.slices": features, "monitor.attributes": attributes[:1]})
    return dump(tree)


def _policy(root: Path, plan: TaskPlan) -> bytes:
    """The root's own policy, which names people, with the name of this task's artifact."""
    tree = load(root / "policy.yaml")
    set_values(tree, {"artifact": artifact_name(plan.name)})
    return dump(tree)


def artifact_name(name: str) -> str:
    """What policy.yaml calls the model of a task, in its alphabet.

    >>> artifact_name("Tickets 2026"), artifact_name("7"), artifact_name("\u6d4b")
    ('tickets-2026', 'task-7', 'task')
    """
    kept = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50].strip("-")
    return kept if len(kept) > 1 and kept[0].isalpha() else f"task-{kept}".strip("-")


def set_values(tree: Any, values: Mapping[str, Any]) -> None:
    """Put values under dotted keys, where they keep the comments of those before."""
    for dotted, value in values.items():
        *parents, key = dotted.split(".")
        block = tree
        for name in parents:
            block = block[name]
        comments = block.ca.items.get(key)
        block[key] = _lines(value, LEVELS.get(dotted, 0))
        if comments is not None and not isinstance(value, (dict, list)):
            block.ca.items[key] = comments


LEVELS = {
    "task.classes": 1,
    "plan.set_aside": 1,
    "ingest.source": 1,
    "report.ethical_considerations": 1,
    "report.caveats": 1,
    "contractions": 1,
    "patterns": 1,
    "templates": 1,
    "attributes": 2,
    "swaps": 2,
}
"""Key → levels of its value that take a line for each of their items; all others stand in one line."""


_PLAIN = re.compile(r"[\w./+-]+(?: [\w./+-]+)*")
"""Strings that need no quotes for a sign; those that read as a number or a word of YAML's get them anyway."""


def _lines(value: Any, levels: int) -> Any:
    """A value with an item a line on so many levels."""
    if not levels or not value or not isinstance(value, (Mapping, list)):
        return _flow(value)
    if isinstance(value, Mapping):
        return CommentedMap({name: _lines(item, levels - 1) for name, item in value.items()})
    return CommentedSeq([_lines(item, levels - 1) for item in value])


def _flow(value: Any) -> Any:
    """A value in one line, strings that YAML would read otherwise in quotes."""
    if isinstance(value, Mapping):
        made: Any = CommentedMap({name: _flow(item) for name, item in value.items()})
        made.fa.set_flow_style()
        return made
    if isinstance(value, (list, tuple)):
        made = CommentedSeq([_flow(item) for item in value])
        made.fa.set_flow_style()
        return made
    # YAML's readers disagree on signs in one line: "[why?]" is a list to one and an error to the other, which DVC uses
    return DoubleQuotedScalarString(value) if isinstance(value, str) and not _PLAIN.fullmatch(value) else value


def _engine() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(
        type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml


def load(path: Path) -> Any:
    """A YAML file with its comments, to be changed and dumped again."""
    return parse(path.read_bytes())


def parse(content: bytes) -> Any:
    """As `load`, of bytes."""
    return _engine().load(content.decode("utf-8"))


def dump(tree: Any, width: int = 4096) -> bytes:
    """The bytes of a tree, its comments where they were."""
    out = io.BytesIO()
    yaml = _engine()
    yaml.width = width
    yaml.dump(tree, out)
    return out.getvalue()
