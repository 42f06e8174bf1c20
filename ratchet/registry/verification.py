"""Verification of a push or of a clone: one program for a server's hook, for CI and for people.

Rules are read from the protected branch as it was before the push, never from what is pushed. The actor is the signer,
never the author line. Whatever cannot be read or decided is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ratchet.errors import RatchetError, ReleaseError
from ratchet.registry.branch_rules import check_branch, check_pointer
from ratchet.registry.git import NO_OBJECT, Repository
from ratchet.registry.names import RESERVED, REVIEW, parse_role, parse_version
from ratchet.registry.policy import Rules, read_rules
from ratchet.registry.review_rules import check_review
from ratchet.registry.tag_rules import check_role, check_version
from ratchet.registry.view import View

TAGS, HEADS = "refs/tags/", "refs/heads/"


@dataclass(frozen=True)
class Update:
    """A ref that is to be moved: a line of a hook's input. `NO_OBJECT` stands for none."""

    old: str
    new: str
    ref: str


@dataclass
class Judgement:
    """Ref → reason of what was refused; empty: everything is accepted."""

    refused: dict[str, str] = field(default_factory=dict)


def judge_push(
    repository: Repository, updates: Sequence[Update], branch: str = "main", trusted: str | None = None
) -> Judgement:
    """Judge a push: the refused updates with their reasons; a push is accepted whole or not at all.

    `trusted` is the tip of the protected branch, where this is not the repository that has it.
    """
    judgement, main = Judgement(), f"{HEADS}{branch}"

    def attempt(ref: str, check: Callable[[], None]) -> None:
        try:
            check()
        except RatchetError as error:
            judgement.refused[ref] = str(error)
        except Exception as error:  # an error of the check itself must not let anything through
            judgement.refused[ref] = f"It could not be judged: {error!r}"

    moved = {update.ref: update for update in updates}
    attempt("push", repository.need_whole_history)
    if judgement.refused:
        return judgement
    old = trusted or repository.resolve(main)
    new = moved[main].new if main in moved else old
    if old is None:
        attempt("push", lambda: _check_first_push(repository, updates, main))
        return judgement
    rules: list[Rules] = []
    attempt(main, lambda: rules.append(read_rules(repository, old)))
    if not rules or new in (None, NO_OBJECT):
        judgement.refused.setdefault(main, "The protected branch must not be deleted.")
        return judgement
    view = _view(repository, rules[0], str(new), moved, datetime.now(UTC))
    for update in updates:
        if update.ref == main:
            attempt(main, lambda: check_branch(view, old, str(new)))
        else:
            attempt(update.ref, _check_other(view, update, main))
    attempt(main, lambda: check_pointer(view))
    return judgement


def _check_first_push(repository: Repository, updates: Sequence[Update], main: str) -> None:
    """Check the first push: the branch with a valid policy and nothing else; it is the root of trust."""
    if [update.ref for update in updates] != [main]:
        raise ReleaseError("The first push must bring the protected branch alone.", expected=main)
    read_rules(repository, updates[0].new)


def _view(repository: Repository, rules: Rules, main: str, moved: Mapping[str, Update], now: datetime) -> View:
    """The registry as it would stand after the push."""
    tags = repository.refs(TAGS) | {ref: update.new for ref, update in moved.items() if ref.startswith(TAGS)}
    names = {ref.removeprefix(TAGS): oid for ref, oid in tags.items() if oid != NO_OBJECT}
    pushed = frozenset(ref.removeprefix(TAGS) for ref in moved if ref.startswith(TAGS))
    return View(repository, rules, main, names, pushed, now)


def _check_other(view: View, update: Update, main: str) -> Callable[[], None]:
    def check() -> None:
        ref = update.ref
        if ref.startswith(TAGS):
            if update.old != NO_OBJECT:
                raise ReleaseError("Tags are never moved or deleted.", where=ref)
            check_tag(view, ref.removeprefix(TAGS))
        elif not ref.startswith(HEADS) or ref.casefold() == main.casefold():
            raise ReleaseError(
                "Only branches and tags may be pushed.",
                where=ref,
                fix="a ref such as refs/replace/… would change what the others mean",
            )

    return check


def check_tag(view: View, name: str) -> None:
    """Check one tag of the registry against all the others; an ordinary tag passes.

    Raises:
        ReleaseError: it breaks a rule.
    """
    if version := parse_version(name):
        check_version(view, version)
    elif change := parse_role(name):
        check_role(view, change)
    elif review := REVIEW.fullmatch(name):
        check_review(view, review)
    elif RESERVED.search(name):
        raise ReleaseError(
            "The name is reserved for the registry, and is none of its names.",
            where=name,
            expected="e.g. tickets@v1.2.0, tickets#champion#3",
        )


def verify_clone(
    repository: Repository, trusted: str, pushed: frozenset[str] = frozenset()
) -> tuple[View, dict[str, str]]:
    """The registry of a clone under the policy of a commit, and tag → reason of the tags that fail verification.

    Keys must have counted at their tags' own time; for tags that were just `pushed`, they must count now, because
    whoever signs chooses that time.

    Raises:
        ReleaseError: the commit has no policy.
    """
    names = {ref.removeprefix(TAGS): oid for ref, oid in repository.refs(TAGS).items()}
    now = datetime.now(UTC) if pushed else None
    view = View(repository, read_rules(repository, trusted), trusted, names, pushed, now)
    failures: dict[str, str] = {}
    for name in view.tags:
        try:
            check_tag(view, name)
        except RatchetError as error:
            failures[name] = str(error)
    try:
        check_pointer(view)
    except RatchetError as error:
        failures["champion"] = str(error)
    return view, failures
