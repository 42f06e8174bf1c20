"""Breaks each check of the verification program once, and says which attack notices.

    python -m tests.registry_mutants [--modules tag_rules ...] [--all]

A mutant passes over one `raise ReleaseError` that stands under an `if`. The attacks that are refused in its words
are tried; with `--all`, then all others, until one is no longer refused as it should be. What no attack notices is
listed; some of it is guarded twice, or is the business of other tests.
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

from tests.registry import push
from tests.test_registry_attacks import ATTACKS, Site, copy, story

MODULES = ("verification", "branch_rules", "tag_rules", "review_rules", "bundle_check", "signatures", "view")
MIN_WORDS = 8
"""Characters that a piece of a message must have more of, to be told from others."""


@dataclass(frozen=True)
class Mutant:
    """One check, passed over."""

    where: str
    """Module, function and line."""
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
    checks = [node.lineno for node in ast.walk(ast.parse(text)) if isinstance(node, ast.If) and _raised(node)]
    for line in checks:
        tree = ast.parse(text)
        check = next(node for node in ast.walk(tree) if isinstance(node, ast.If) and node.lineno == line)
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        function = next((node for node in functions if node.lineno < line <= (node.end_lineno or 0)), None)
        if function is None:
            continue  # a method, whose code is not where the others' is
        raised = _raised(check)
        said = raised[0].exc.args[0]  # type: ignore[union-attr]
        pieces = [node.value if isinstance(node, ast.Constant) else getattr(module, node.id, None)
                  for node in ast.walk(said) if isinstance(node, ast.Constant | ast.Name)]  # fmt: skip
        words = tuple(piece for piece in pieces if isinstance(piece, str) and len(piece) > MIN_WORDS)
        check.body = [ast.copy_location(ast.Pass(), check)]
        whole = compile(ast.fix_missing_locations(tree), str(path), "exec")
        code = next(c for c in whole.co_consts if isinstance(c, CodeType) and c.co_name == function.name)
        yield Mutant(f"{name}.{function.name}:{line}", words, getattr(module, function.name), code)


def _raised(check: ast.If) -> list[ast.Raise]:
    return [node for node in check.body if isinstance(node, ast.Raise)]


def told(name: str, stages: dict[str, Site]) -> str:
    """What the server says to an attack; what goes wrong on the attacker's side is empty, as if it were accepted."""
    stage, how, _ = ATTACKS[name]
    with tempfile.TemporaryDirectory(prefix="ratchet-") as folder:
        site = copy(stages[stage], Path(folder) / stage)
        try:
            return push(site.root, *how(site))
        except Exception:  # its test would fail too
            return ""


def first_to_notice(mutant: Mutant, stages: dict[str, Site], usual: dict[str, str], every: bool) -> str | None:
    """The first attack that is no longer refused as its test expects; None when those that are tried all are."""
    aimed = [name for name, words in usual.items() if any(part in words for part in mutant.words)]
    order = [*aimed, *(name for name in ATTACKS if every and name not in aimed)]
    own, mutant.function.__code__ = mutant.function.__code__, mutant.code
    try:
        return next((name for name in order if ATTACKS[name][2] not in told(name, stages)), None)
    finally:
        mutant.function.__code__ = own


def main() -> int:
    """Try the mutants of the modules; the number that no attack notices is printed last."""
    parser = argparse.ArgumentParser(prog="python -m tests.registry_mutants")
    parser.add_argument("--modules", nargs="+", choices=MODULES, default=MODULES)
    parser.add_argument("--all", action="store_true", help="try the other attacks too: minutes for each mutant left")
    given = parser.parse_args()
    unnoticed, n = [], 0
    with tempfile.TemporaryDirectory(prefix="ratchet-") as base, story(Path(base)) as stages:
        usual = {name: told(name, stages) for name in ATTACKS}
        for name in given.modules:
            for mutant in mutants(name):
                n += 1
                found = first_to_notice(mutant, stages, usual, given.all)
                print(f"{mutant.where}: {found or 'NO ATTACK NOTICES'} ({' … '.join(mutant.words)})", flush=True)
                unnoticed += [] if found else [mutant]
    print(f"{n - len(unnoticed)} of {n} broken checks are noticed by an attack")
    return 0


if __name__ == "__main__":
    sys.exit(main())
