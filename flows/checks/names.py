"""Names in one block of what stands elsewhere: features of slices, columns of the data, attributes of the lexicon."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from flows.checks.finding import Finding, error, refused, unknown
from flows.checks.project import LIVE, PARAMS, Project
from ratchet.errors import ParamsError
from ratchet.params import check_params

LEXICON, PATTERNS = "data/lexicons/identity.yaml", "data/lexicons/features.yaml"
FEATURES: Sequence[tuple[str, ...]] = (
    ("train", "slices"),
    ("evaluate", "slices"),
    ("explain", "slices"),
    ("challenge", "features"),
    ("audit", "features"),
    ("audit", "columns"),
)
"""Keys of params.yaml that name features: computed from the text, or columns of the data."""
ATTRIBUTES: Sequence[tuple[str, ...]] = (("train", "attributes"), ("audit", "attributes"))
"""Keys of params.yaml that name attributes of the lexicon."""
LIVE_FEATURES: Sequence[tuple[str, ...]] = (("monitor", "slices"), ("rollout", "guardrails", "features"))
LIVE_ATTRIBUTES: Sequence[tuple[str, ...]] = (("monitor", "attributes"), ("rollout", "guardrails", "attributes"))
"""The same of live.yaml: a request has a text, and no columns."""


def check_names(project: Project) -> list[Finding]:
    """Features, columns and attributes that a block names and that there are none of."""
    from ratchet.trust.slices import PatternFeatures

    if not {keys[0] for keys in FEATURES} & {*project.stages}:
        return []
    found: list[Finding] = []
    found += refused(
        lambda: check_params(PatternFeatures, "features", project.yaml(PATTERNS), Path(PATTERNS)), PATTERNS
    )
    attributes, swaps = _lexicon(project, found)
    features = [*text_features(project), *columns(project)]
    for keys in FEATURES:
        what = "There is no such feature: it is neither computed from the text nor a column of the data."
        fix = "name another one, or carry the column along by task.metadata_columns"
        found += _strangers(project, PARAMS, keys, features, what, fix)
    for keys in LIVE_FEATURES:
        what = "There is no such feature: production is sliced by what the text shows."
        found += _strangers(project, LIVE, keys, text_features(project), what, "name another one")
    if attributes is not None:
        what, fix = "The lexicon has no such attribute.", f"name another one, or add its terms to {LEXICON}"
        for keys in ATTRIBUTES:
            found += _strangers(project, PARAMS, keys, attributes, what, fix)
        for keys in LIVE_ATTRIBUTES:
            found += _strangers(project, LIVE, keys, attributes, what, fix)
        found += _intersections(project) + _thresholds(project, attributes) + _mitigation(project, attributes, swaps)
    return found


def columns(project: Project) -> list[str]:
    """The columns by which texts can be sliced: those of every split, and those that `ingest` carries along."""
    from ratchet.tables import SPLIT

    carried: list[str] = getattr(project.blocks.get("ingest"), "carried", [])
    return list(dict.fromkeys([*(name for name in SPLIT.columns if name != "text"), *carried]))


def text_features(project: Project) -> list[str]:
    """The features that a text itself shows: its length, its language, and the patterns of the task's own file."""
    from ratchet.trust.slices import LANGUAGE, LENGTH, PatternFeatures

    try:
        patterns = check_params(PatternFeatures, "features", project.yaml(PATTERNS), Path(PATTERNS)).patterns
    except ParamsError:
        patterns = {}
    return [LENGTH, LANGUAGE, *patterns]


def _lexicon(project: Project, found: list[Finding]) -> tuple[list[str] | None, list[str]]:
    """Attributes, and those with swaps; None where there is no lexicon. An error in it hides none of its names."""
    if not (project.root / LEXICON).is_file():
        return None, []
    from ratchet.trust.lexicons import Lexicon

    found += refused(lambda: check_params(Lexicon, "lexicon", project.yaml(LEXICON), Path(LEXICON)), LEXICON)
    try:
        parts = [project.yaml(LEXICON).get(key) for key in ("attributes", "swaps")]
    except ParamsError:
        return None, []
    attributes, swaps = (list(part) if isinstance(part, dict) else [] for part in parts)
    return attributes, swaps


def _strangers(
    project: Project, file: str, keys: tuple[str, ...], known: list[str], what: str, fix: str
) -> Iterator[Finding]:
    for place, name in enumerate(_names(project, file, keys)):
        if name not in known:
            yield unknown(what, project.at(file, *keys, place), name, known, fix)


def _names(project: Project, file: str, keys: Iterable[str]) -> list[str]:
    """The list of names at a key; empty where it is none, which the check of the blocks reports."""
    if not (project.root / file).is_file():
        return []
    try:
        values: Any = project.yaml(file)
    except ParamsError:
        return []
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return [name for name in values if isinstance(name, str)] if isinstance(values, list) else []


def _intersections(project: Project) -> list[Finding]:
    audit: Any = project.blocks.get("audit")
    known = [] if audit is None else [*audit.features, *audit.columns, *audit.attributes]
    return [
        unknown(
            "An intersection names what is not audited.",
            project.param("audit", "intersections", place),
            name,
            known,
            "name audited features, columns or attributes",
        )
        for place, names in enumerate(getattr(audit, "intersections", []))
        for name in names
        if name not in known
    ]


def _thresholds(project: Project, attributes: list[str]) -> list[Finding]:
    """Thresholds by group need the class whose probability they cut, and an attribute."""
    audit: Any = project.blocks.get("audit")
    if audit is None or audit.thresholds == "none":
        return []
    found = []
    if audit.threshold_attribute not in attributes:
        fix = "name an attribute of the lexicon, or set audit.thresholds: none"
        where = project.param("audit", "threshold_attribute")
        found.append(unknown("The lexicon has no such attribute.", where, audit.threshold_attribute, attributes, fix))
    if not audit.positive_labels:
        found.append(
            error(
                "Thresholds need a class that counts as selected.",
                project.param("audit", "thresholds"),
                got=f"{audit.thresholds}, with task.selected empty",
                expected="a class in task.selected",
                fix="name a class in task.selected, or set audit.thresholds: none",
            )
        )
    return found


def _mitigation(project: Project, attributes: list[str], swaps: list[str]) -> list[Finding]:
    train: Any = project.blocks.get("train")
    if train is None or train.mitigation == "none":
        return []
    known = swaps if train.mitigation == "augmentation" else attributes
    if train.mitigated_attribute in known:
        return []
    needed = "swaps of" if train.mitigation == "augmentation" else "terms for"
    return [
        unknown(
            f"The mitigation '{train.mitigation}' needs {needed} this attribute, and the lexicon has none.",
            project.param("train", "mitigated_attribute"),
            train.mitigated_attribute,
            known,
            f"add them to {LEXICON}, or set train.mitigation: none",
        )
    ]
