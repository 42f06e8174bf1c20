"""Breaks each check of the verification program once, and says which attack notices.

    python -m tests.support.registry_mutants [--modules tag_rules ...] [--aimed]

A mutant passes over one `raise ReleaseError` that stands under an `if`, or leaves one operand out of the `or` of its
condition. The attacks that are refused in its words are tried first, then the others (not with `--aimed`), until one
is no longer refused as its test expects. What changes nothing, because something else refuses the same, stands in
`EQUIVALENT` with the reason. The exit code is 1 when a mutant is left that no attack notices and no reason explains,
or when a reason is given for none.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType

from tests.registry.test_attacks import HELD_BY
from tests.support.registry_site import ATTACKS, Site, copy, story

MODULES = (
    "verification",
    "branch_rules",
    "tag_rules",
    "review_rules",
    "bundle_check",
    "signatures",
    "view",
    "statements",
    "record",
    "policy",
    "model_signature",
)
MIN_WORDS = 8
"""Characters that a piece of a message must have more of, to be reply from others."""
EQUIVALENT = {
    "review_rules.check_review: not isinstance(statement, Review)": (
        "statements of other types are of other kinds, which the next operand refuses; it is there for the types"
    ),
}
"""Mutant → why it changes nothing that an attack could notice."""


@dataclass(frozen=True)
class Mutant:
    """One check, or one operand of its condition, passed over."""

    name: str
    """Module and function, and what is left out: the start of what the check says, or the operand."""
    words: tuple[str, ...]
    """What the check says when it refuses, in pieces."""
    function: FunctionType
    code: CodeType
    """What to run in place of the function's own."""


def mutants(name: str) -> Iterator[Mutant]:
    """Every mutant of a module of the registry."""
    module = importlib.import_module(f"ratchet.registry.{name}")
    path = Path(str(module.__file__))
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    for function in _functions(tree):
        owner, _, bare = function.rpartition(".")
        found: FunctionType = getattr(getattr(module, owner) if owner else module, bare)
        for index, check in enumerate(_checks(tree, function)):
            message = _raised(check)[0].exc.args[0]  # type: ignore[union-attr]
            pieces = [
                node.value if isinstance(node, ast.Constant) else getattr(module, node.id, None)
                for node in ast.walk(message)
                if isinstance(node, ast.Constant | ast.Name)
            ]
            words = tuple(piece for piece in pieces if isinstance(piece, str) and len(piece) > MIN_WORDS)
            operands = check.test.values if isinstance(check.test, ast.BoolOp) and _is_or(check.test) else []
            for operand in [None, *range(len(operands))]:
                left_out = words[0].strip() if operand is None else ast.unparse(operands[operand])
                code = _broken(text, str(path), function, index, operand)
                yield Mutant(f"{name}.{function}: {left_out}", words, found, code)


def _broken(text: str, path: str, function: str, index: int, operand: int | None) -> CodeType:
    """The function's code without its check of that index, or without one operand of the check's condition."""
    tree = ast.parse(text)
    check = _checks(tree, function)[index]
    if operand is None:
        check.body = [ast.copy_location(ast.Pass(), check)]
    elif isinstance(check.test, ast.BoolOp):
        kept = [value for index, value in enumerate(check.test.values) if index != operand]
        check.test = ast.BoolOp(check.test.op, kept) if len(kept) > 1 else kept[0]
    codes = [compile(ast.fix_missing_locations(tree), path, "exec")]
    for code in codes:
        if code.co_qualname == function:
            return code
        codes += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
    raise LookupError(function)


def _functions(tree: ast.Module) -> list[str]:
    """Functions and methods, by their qualified names; what is defined inside one belongs to it."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found.append(node.name)
        elif isinstance(node, ast.ClassDef):
            found += [f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)]
    return found


def _checks(tree: ast.Module, function: str) -> list[ast.If]:
    scope: ast.AST = tree
    for name in function.split("."):
        body: list[ast.stmt] = scope.body  # type: ignore[attr-defined]
        scope = next(node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name)
    return [node for node in ast.walk(scope) if isinstance(node, ast.If) and _raised(node)]


def _raised(check: ast.If) -> list[ast.Raise]:
    return [node for node in check.body if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]


def _is_or(test: ast.BoolOp) -> bool:
    return isinstance(test.op, ast.Or)


def reply(name: str, stages: dict[str, Site]) -> str:
    """The reply to an attack; empty, as if it were accepted, where the attacker's side fails."""
    attack = ATTACKS[name]
    with tempfile.TemporaryDirectory(prefix="ratchet-") as folder:
        site = copy(stages[attack.stage], Path(folder) / attack.stage)
        try:
            return attack.reply(site)
        except Exception:  # its test would fail too
            return ""


def first_to_notice(mutant: Mutant, stages: dict[str, Site], usual: dict[str, str], aimed: bool) -> str | None:
    """The first attack that is no longer refused as its test expects; None when those that are tried all are."""
    first = [name for name, words in usual.items() if any(part in words for part in mutant.words)]
    order = [*first, *(name for name in ATTACKS if not aimed and name not in first)]
    own, mutant.function.__code__ = mutant.function.__code__, mutant.code
    try:
        return next((name for name in order if ATTACKS[name].expected not in reply(name, stages)), None)
    finally:
        mutant.function.__code__ = own


def main() -> int:
    """Try the mutants of the modules, and say which are left; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.registry_mutants")
    parser.add_argument("--modules", nargs="+", choices=MODULES, default=MODULES)
    parser.add_argument("--aimed", action="store_true", help="only the attacks that are refused in a check's own words")
    given = parser.parse_args()
    noticed: list[str] = []
    explained: list[str] = []
    left: list[str] = []
    print(f"{len(ATTACKS)} attacks of {len(HELD_BY)} modules", flush=True)
    with tempfile.TemporaryDirectory(prefix="ratchet-") as base, story(Path(base)) as stages:
        usual = {name: reply(name, stages) for name in ATTACKS}
        for mutant in (mutant for name in given.modules for mutant in mutants(name)):
            if mutant.name in EQUIVALENT:
                explained.append(mutant.name)
                print(f"{mutant.name} | CHANGES NOTHING: {EQUIVALENT[mutant.name]}", flush=True)
                continue
            found = first_to_notice(mutant, stages, usual, given.aimed)
            (noticed if found else left).append(mutant.name)
            print(f"{mutant.name} | {found or 'NO ATTACK NOTICES'}", flush=True)
    n = len(noticed) + len(explained) + len(left)
    print(f"{len(noticed)} of {n} broken checks are noticed by an attack, {len(explained)} change nothing (see why)")
    stale = [name for name in EQUIVALENT if name.partition(".")[0] in given.modules and name not in explained]
    for name in [*left, *stale]:
        print(f"error: {name} is {'noticed by nothing' if name in left else 'no mutant'}", file=sys.stderr)
    return int(bool(left or stale))


if __name__ == "__main__":
    sys.exit(main())
