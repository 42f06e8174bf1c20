"""`ratchet init`: from a source of texts to a configured task."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from flows.init.flow import Change
    from flows.init.plan import Said, TaskPlan

Names = list[str] | None


def init(
    source: Annotated[
        str, typer.Argument(help="A file, folder, URL, database URL (with --query) or data set.", show_default=False)
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Take every proposal, and ask nothing.")] = False,
    example: Annotated[str, typer.Option(help="Take the task of examples/NAME instead of a source.")] = "",
    text: Annotated[str, typer.Option(help="Column with the texts.")] = "",
    label: Annotated[str, typer.Option(help="Column with the labels.")] = "",
    merge: Annotated[Names, typer.Option(help="Several values as one class: CLASS=VALUE,VALUE.")] = None,
    drop: Annotated[str | None, typer.Option(help="Classes to leave out, by comma; '': none.")] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column with an id of each row; '': none.")] = None,
    time: Annotated[str | None, typer.Option(help="Column with the time of each text; '': none.")] = None,
    group: Annotated[str | None, typer.Option(help="Column whose equal values stay on one side; '': none.")] = None,
    origin: Annotated[str | None, typer.Option(help="Column that says where a text comes from; '': none.")] = None,
    metadata: Annotated[str | None, typer.Option(help="Columns to slice by, by comma; '': none.")] = None,
    sensitive: Annotated[str | None, typer.Option(help="Columns by which people differ, by comma; '': none.")] = None,
    languages: Annotated[str | None, typer.Option(help="Languages of the texts (ISO 639-1), by comma.")] = None,
    selected: Annotated[str | None, typer.Option(help="Classes that count as being selected, by comma.")] = None,
    metric: Annotated[str | None, typer.Option(help="accuracy · macro_f1 · balanced_accuracy.")] = None,
    minutes: Annotated[int | None, typer.Option(min=1, help="Minutes that training may take, 25 unless said.")] = None,
    query: Annotated[str, typer.Option(help="Of a database: one SELECT with an ORDER BY.")] = "",
    password_variable: Annotated[str, typer.Option(help="Of a database: environment variable of the password.")] = "",
    subset: Annotated[str, typer.Option(help="Of a data set: its configuration.")] = "",
    split: Annotated[str, typer.Option(help="Of a data set: its split.")] = "",
    revision: Annotated[str, typer.Option(help="Of a data set on the hub: the commit.")] = "",
    max_bad_rows: Annotated[int, typer.Option(min=0, help="Rows of files that may be set aside as unreadable.")] = 0,
    dialect: Annotated[
        Names,
        typer.Option(help="How files are read, such as encoding=latin-1 or delimiter=tab; may be repeated."),
    ] = None,
    copy: Annotated[bool, typer.Option(help="Copy files from outside into data/source.")] = True,
    show: Annotated[bool, typer.Option("--show", help="Say what would be written, and write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a task that people have worked on.")] = False,
) -> None:
    """Make a source of texts the repository's task: look at it, propose every value, ask, write.

    What only a person knows is asked, with the proposal as default; each answer is an option, too. Nothing is written
    before the last answer. Run it again when the data grew: it shows what changes, and keeps what somebody edited."""
    from flows.init import flow
    from flows.init.plan import Said, make_plan
    from flows.init.report import plan_text, sizes_text, survey_text, time_text
    from flows.init.sources import Given, place_of
    from ratchet.errors import ParamsError

    root = Path.cwd()
    if bool(source) == bool(example):
        raise ParamsError(
            "Name a source, or an example.",
            where="ratchet init",
            got="both" if source else "neither",
            expected="ratchet init FILE, or ratchet init --example NAME",
            fix="make init DATA=FILE",
        )
    if example:
        if files := flow.example_files(root, example):
            _finish(root, flow.change_of(root, files, {}, {"example": example}, force), show=show, yes=True)
            return
        given_there = flow.example_answers(root, example)
        source, text, label, yes = given_there.source, given_there.text, given_there.label, True
        selected, minutes = ",".join(given_there.selected), minutes or given_there.minutes
    asks = not yes and stdin_asks()
    place = place_of(
        root, Given(source, query, password_variable, subset, split, revision, copy, max_bad_rows, dialect or [])
    )
    sample = flow.read_sample(place)
    text = text or _choose("Which column holds the texts?", sample.texts, asks)
    label = label or _choose("Which column holds the labels?", sample.labels(text), asks)
    found = flow.look(sample, text, label)
    print(survey_text(found, place))
    said = Said(
        id=id_column,
        time=time,
        group=group,
        source=origin,
        metadata=_listed(metadata),
        sensitive=_listed(sensitive),
        languages=_listed(languages),
        selected=_listed(selected),
        metric=metric,
        minutes=minutes,
        merge=merge or [],
        drop=_listed(drop),
    )
    plan = make_plan(place.name, found, said)
    if asks:
        plan = make_plan(place.name, found, _ask(plan, said))
    print(plan_text(plan))
    files, sizes = flow.prepare(root, sample, found, plan)
    print(sizes_text(sizes))
    print(time_text(sample.frame, plan, sizes), end="")
    origin_of = {"source": place.block, "text": text, "label": label}
    corpus = sizes.corpus if sizes else None
    _finish(root, flow.change_of(root, files, place.copies, origin_of, force, corpus), show=show, yes=not asks)


def stdin_asks() -> bool:
    """Whether somebody can answer: standard input is a terminal."""
    return sys.stdin.isatty()


def _finish(root: Path, change: Change, *, show: bool, yes: bool) -> None:
    """Say what will be written, ask once more, write."""
    from flows.init import flow
    from flows.init.report import change_text

    print(change_text(root, change))
    if show:
        print("Nothing was written: --show.")
        return
    if not yes:
        typer.confirm("Write this?", default=True, abort=True)
    flow.commit(root, change)
    print("The task is configured. Next: make run")


def _choose(question: str, proposals: list[str], asks: bool) -> str:
    """The first proposal, or what a person answers; empty: nothing was proposed."""
    if not asks or not proposals:
        return proposals[0] if proposals else ""
    print(f"\n{question} It can be {', '.join(proposals)}.")
    return str(typer.prompt("column", default=proposals[0]))


def _ask(plan: TaskPlan, said: Said) -> Said:
    """What only a person knows, with the proposal as default; what a flag has said is not asked."""
    from dataclasses import replace

    for name, question in QUESTIONS.items():
        if getattr(said, name) is not None:
            continue
        proposed = getattr(plan, name) if name != "drop" else list(plan.dropped)
        default = ",".join(proposed) if isinstance(proposed, list) else str(proposed)
        print(f"\n{question}\n  proposed: {default or 'none'}; because {plan.reasons.get(name, 'it is the default')}")
        answer = str(typer.prompt(f"{name} (- for none)", default=default, show_default=bool(default))).strip()
        answer = "" if answer == "-" else answer
        value: Any = _listed(answer) if isinstance(proposed, list) else answer
        changed: dict[str, Any] = {name: int(answer) if name == "minutes" else value}
        said = replace(said, **changed)
    return said


def _listed(value: str | None) -> list[str] | None:
    """`a, b` as its parts; None stays."""
    return None if value is None else [part.strip() for part in value.split(",") if part.strip()]


QUESTIONS = {
    "drop": "Which classes are left out? The others can be merged by --merge.",
    "group": "Does a column say who or what wrote several texts, which must not stand on two sides of the split?",
    "time": "Which column says when a text was written?",
    "sensitive": "By which columns do people differ, whose errors are to be compared?",
    "languages": "In which languages are the texts (ISO 639-1, by comma)?",
    "selected": "Which classes count as being selected, for measures of fairness?",
    "metric": "Which measure of quality decides: accuracy, macro_f1 or balanced_accuracy?",
    "minutes": "How many minutes may training take?",
}
"""What a person is asked, in this order."""
