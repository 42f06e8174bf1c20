"""`ratchet labels`: send texts to people, and bring their answers back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.defaults import MAX_POOL, MAX_WAIT_DAYS, MIN_AGREEMENT, N_ANNOTATORS, N_OPEN
from ratchet.commands.flow_run import SHARE, run_as_flow

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from ratchet.labels.class_changes import Change

app = typer.Typer(
    no_args_is_help=True,
    help="""Labels by people: send texts, bring answers back.

    On the Label Studio server that LABEL_STUDIO_URL and LABEL_STUDIO_TOKEN name, or in files where there is none.
    Repeating a command does no harm: it carries on.""",
)
Annotators = Annotated[int, typer.Option(min=1, help="People who answer each text.")]


@app.command()
def push(
    n: Annotated[int, typer.Option(min=1, help="Texts that shall wait for answers.")] = N_OPEN,
    annotators: Annotators = N_ANNOTATORS,
    query_strategy: Annotated[
        str, typer.Option(metavar="NAME", help="What chooses the texts; by default that of sample in params.yaml.")
    ] = "",
    bundle: Annotated[
        str, typer.Option(metavar="FOLDER", help="The model whose uncertainty counts; by default the champion.")
    ] = "",
    max_pool: Annotated[
        int, typer.Option(min=1, help="Unlabelled texts that are scored; of a larger pool so many at random.")
    ] = MAX_POOL,
    suspects: Annotated[
        bool, typer.Option("--suspects", help="Ask again about labels that look wrong to vet, instead.")
    ] = False,
) -> None:
    """Send people the texts whose labels teach most.

    Sent until `--n` texts wait for answers."""

    def begin() -> State[Any]:
        from flows.labelling import flow

        return flow.push(n, annotators, query_strategy, bundle, max_pool, suspects, return_state=True)

    run_as_flow(begin)


@app.command()
def sample(
    n: Annotated[int, typer.Option(min=0, help="Texts; 0: as many as settle what is not settled yet.")] = 0,
    slice_name: Annotated[
        str, typer.Option("--slice", metavar="FEATURE=SLICE", help="Draw from this slice alone, such as length=long.")
    ] = "",
    annotators: Annotators = N_ANNOTATORS,
) -> None:
    """Send people a random sample of production's texts.

    By their answers production is judged; nothing is trained on them."""

    def begin() -> State[Any]:
        from flows.monitoring.flow import ask

        return ask(n, slice_name, annotators, return_state=True)

    run_as_flow(begin)


@app.command()
def pull(
    annotators: Annotators = N_ANNOTATORS,
    min_agreement: Annotated[
        float, typer.Option(click_type=SHARE, metavar="RATE", help="Share of people who must agree, in (0, 1].")
    ] = MIN_AGREEMENT,
    answers: Annotated[
        str, typer.Option(metavar="FILE", help="A spreadsheet or JSONL file whose answers are read as well.")
    ] = "",
) -> None:
    """Bring answers into the label store, and decide them.

    What people disagree about goes to an adjudicator."""

    def begin() -> State[Any]:
        from flows.labelling import flow

        return flow.pull(annotators, min_agreement, answers, return_state=True)

    run_as_flow(begin)


@app.command()
def requests(
    cancel: Annotated[str, typer.Option(metavar="KEY", help="Close this request without training.")] = "",
    max_wait_days: Annotated[
        float, typer.Option(min=0, metavar="DAYS", help="Days after which a request ends with what there is.")
    ] = MAX_WAIT_DAYS,
) -> None:
    """List the label requests of retrainings, and cancel one.

    A cancelled one's texts stay in the queue, and answers go on counting."""
    from datetime import UTC, datetime
    from pathlib import Path

    from flows.retraining import steps as retraining

    root, now = Path.cwd(), datetime.now(UTC)
    if cancel:
        cancelled = retraining.cancel_request(root, cancel, now)
        print(f"cancelled: {cancel}, {len(cancelled['ids'])} texts")
        return
    if (request := retraining.read_request(root)) is None:
        print("no label request is open")
        return
    reached = retraining.progress(root, request, max_wait_days)
    print(f"{request['key']}: asked {request['asked_at'][:10]} of {request['model_version']}")
    print(f"{reached.n_decided} of {reached.n_texts} texts decided, {reached.n_unusable} unusable, ", end="")
    print(f"{reached.n_waiting} waiting; ends {reached.deadline:%Y-%m-%d} with what there is")


@app.command()
def quality(
    gold: Annotated[str, typer.Option(metavar="FILE", help="A sheet with `id` or `text`, and the right `label`.")] = "",
) -> None:
    """Print how good people's labels are, and the model on random samples.

    Accuracy on gold questions by person, with its interval; and texts on which a posterior that weighs people by their
    confusions (Dawid and Skene) decides otherwise than the majority."""
    from pathlib import Path

    from flows.labelling import steps as labelling
    from ratchet.labels import quality as measured
    from ratchet.labels.queues import read_answers
    from ratchet.labels.store import read_store

    root = Path.cwd()
    store = read_store(root / labelling.POINTER, root / labelling.STORE)
    known = measured.known_items(store.annotations)
    right = {answer.item.id: answer.label for answer in read_answers(Path(gold), known)} if gold else {}
    for what, found in (
        ("on gold questions", measured.gold_accuracy(store.annotations, right)),
        ("on random samples", measured.sampled_accuracy(store.annotations, store.decisions)),
    ):
        for name, value in found.items():
            print(f"{name} {what}: accuracy {value.value:.3f} [{value.low:.3f}, {value.high:.3f}], {value.n} texts")
    labels = list(dict.fromkeys(store.annotations["label"].dropna()))
    others = measured.decided_otherwise(store.annotations, store.decisions, labels)
    for item in others[:20]:
        print(f"{item.id}: decided {item.decided}, posterior {item.posterior} ({item.proba:.2f})")
    print(f"{len(others)} labels that the posterior decides otherwise")


@app.command()
def effect() -> None:
    """Print what people's corrections of given labels brought, and whether to go on.

    The primary metric of the probe on the validation texts, with the labels as they came and as people left them."""
    from pathlib import Path

    from flows.labelling.effect import measure_effect

    found = measure_effect(Path.cwd())
    print(f"{found.n_changed} labels changed, {found.n_closed} texts closed as unusable")
    for name, value in (("before", found.before), ("after", found.after), ("gain", found.gain)):
        sign = "+" if name == "gain" else ""
        interval = f"[{value.low:{sign}.3f}, {value.high:{sign}.3f}]"
        print(f"{name:<7}{value.value:{sign}.3f} {interval} on {value.n} validation texts")
    print(found.advice)


@app.command()
def worth(
    more: Annotated[int, typer.Option(min=1, help="Labels that might be bought.")] = 100,
    least: Annotated[
        float, typer.Option(min=0, metavar="RISE", help="Rise of the primary metric that they are worth.")
    ] = 0.005,
) -> None:
    """Print what the next labels are worth, and whether to go on.

    By how much the primary metric of a probe would rise, with an interval; of the classes those that gain most."""
    import math
    from pathlib import Path

    from flows.labelling.worth import next_labels

    found = next_labels(Path.cwd(), more)
    told = found.forecast
    print(
        f"now    {told.now.value:.3f} [{told.now.low:.3f}, {told.now.high:.3f}] by cross-validation on {told.n_labels}"
    )
    if not math.isnan(found.usd):
        print(f"cost   {found.hours:.1f} hours, {found.usd:.2f} USD for {more} labels")
    gains = [f"{name} {gain:+.3f}" for name, gain in list(told.by_class.items())[:5]]
    print(f"gains  {', '.join(gains)} (recall)")
    print(told.advice(least))


@app.command()
def notes(
    text: Annotated[str, typer.Argument(metavar="[ID]", help="A text's id: print every answer to it.")] = "",
) -> None:
    """Print what people remarked, and which answers they changed and why.

    A text a paragraph, by its id; `ratchet raw-text ID` prints its words."""
    from pathlib import Path

    from flows.labelling import steps as labelling
    from ratchet.labels import remarks
    from ratchet.labels.resolution import current_decisions
    from ratchet.labels.store import read_store

    root = Path.cwd()
    store = read_store(root / labelling.POINTER, root / labelling.STORE)
    found = remarks.notes(store.annotations, text)
    for note in found:
        print(note.line)
    held = current_decisions(store.decisions[store.decisions["id"] == text]) if text else None
    for state, label in [] if held is None else held[["state", "label"]].itertuples(index=False):
        print(f"{text} {state}: {label}" if isinstance(label, str) else f"{text} {state}")
    answers, texts = f"{len(found)} answer{'s' * (len(found) != 1)}", {note.id for note in found}
    print(f"{answers} to {len(texts)} text{'s' * (len(texts) != 1)}")


Old = Annotated[str, typer.Argument(metavar="CLASS", help="The class that is no more.")]


@app.command()
def rename(old: Old, to: Annotated[str, typer.Option("--to", metavar="CLASS", help="Its new name.")]) -> None:
    """Rename a class in people's labels.

    History keeps the old name; answers that still name it count for the new one."""
    _change("rename", [old], [to])


@app.command()
def merge(
    old: Annotated[list[str], typer.Argument(metavar="CLASS...", help="The classes that become one.")],
    into: Annotated[str, typer.Option("--into", metavar="CLASS", help="The class that they become.")],
) -> None:
    """Merge classes of people's labels into one."""
    _change("merge", old, [into])


@app.command()
def split(
    old: Old, into: Annotated[list[str], typer.Option("--into", metavar="CLASS", help="A class it becomes; repeat.")]
) -> None:
    """Split a class of people's labels: its texts are asked again.

    `ratchet labels push` sends them."""
    _change("split", [old], into)


@app.command()
def drop(old: Old) -> None:
    """Drop a class of people's labels: its texts are closed as unusable."""
    _change("drop", [old], [])


def _change(change: Change, old: list[str], new: list[str]) -> None:
    from pathlib import Path

    from flows.labelling.steps import change_classes
    from flows.runner import workspace

    root = Path.cwd()
    workspace.lock_workspace(root)
    print(change_classes(root, change, old, new))
    print("The data set's own labels are mapped in params.yaml; commit data/labels.json.")
