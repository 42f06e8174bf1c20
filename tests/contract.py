"""What dvc.yaml, params.yaml and the code must agree on. DVC does not follow imports; this does.

Print the lines dvc.yaml should hold:  python -m tests.contract [STAGE ...]
Write deps and outs into dvc.yaml:     python -m tests.contract --write
Print what is wrong:                   python -m tests.contract --check
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from ratchet.errors import ParamsError
from ratchet.params import Measured, Params, check_block, fields_elsewhere, read_yaml
from tests.imports import closure, direction_violations, template_violations

ORDER = [
    "ingest",
    "validate",
    "split",
    "embed",
    "sample",
    "vet",
    "challenge",
    "architect",
    "baseline",
    "train",
    "teach",
    "distil",
    "prune",
    "simplify",
    "quantize",
    "export",
    "cascade",
    "evaluate",
    "shortlist",
    "explain",
    "counterfactuals",
    "audit",
    "behave",
    "judge",
    "promote",
    "report",
]
"""The stages, in the order in which dvc.yaml names and DVC runs them."""
HEADLINES = "reports/metrics.json"
"""The one report that `dvc metrics diff` shows."""
REPORT = "{cache: false, template: report}"
"""How dvc.yaml declares every other report in Git: docs/decisions/reports-as-plots.md."""


TASK, LADDER = "task", "ladder"
"""The blocks of params.yaml that are no stage's: stages take single values of them."""


@dataclass(frozen=True)
class Stage:
    """One entry of dvc.yaml, its matrix not yet expanded."""

    name: str
    cmd: str
    deps: list[str]
    outs: dict[str, bool]
    """Path → whether DVC caches it, over `outs`, `metrics` and `plots`."""
    params: list[Any]
    run_cached: list[str] = field(default_factory=list)
    """Those of the outs that stand under `metrics` or `plots`."""
    matrix: dict[str, list[str]] = field(default_factory=dict)


def read_stages(root: Path) -> dict[str, Stage]:
    """The stages of dvc.yaml by name, in the order of the file."""
    return {name: _stage(name, entry) for name, entry in read_yaml(root / "dvc.yaml")["stages"].items()}


def load_step(root: Path, name: str) -> ModuleType:
    """The module of a step, loaded from its file without running anything of it."""
    path = root / "pipeline_steps" / f"{name}.py"
    if path.resolve() == Path(__file__).parents[1] / "pipeline_steps" / f"{name}.py":
        # loaded twice under two names, a model loses its docstrings: `inspect` knows one module a file
        return importlib.import_module(f"pipeline_steps.{name}")
    spec = importlib.util.spec_from_file_location(f"contract_{abs(hash(root))}_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pydantic look their module up
    spec.loader.exec_module(module)
    return module


def step_names(root: Path) -> list[str]:
    """The modules of pipeline_steps, by name."""
    return sorted(path.stem for path in (root / "pipeline_steps").glob("*.py") if path.stem != "__init__")


def expected_params(root: Path, name: str) -> list[str]:
    """The step's own block, and each single key of another block that a field of its Params takes its value from."""
    model = getattr(load_step(root, name), "Params", Params)
    return [name, *sorted({at.key for at in fields_elsewhere(model).values()})]


def expected_deps(root: Path, name: str, keys: list[str]) -> list[str]:
    """READS, the step's own file, the modules of ratchet it imports (not NOT_DEPS) and the templates these render."""
    step = Path("pipeline_steps") / f"{name}.py"
    code = [step.as_posix(), *sorted(path.as_posix() for path in closure(root, step))]
    reads = [_to_dvc(path, keys) for path in load_step(root, name).READS.values()]
    return [*code, *itertools.chain.from_iterable(_written_before(root, name, path) for path in reads)]


def expected_outs(root: Path, name: str, keys: list[str]) -> dict[str, bool]:
    """WRITES as dvc.yaml should list them → whether DVC caches it; reports/*.json stay in git instead."""
    paths = [_to_dvc(path, keys) for path in load_step(root, name).WRITES.values()]
    return {path: not re.fullmatch(r"reports/.+\.json", path) for path in paths}


def expected_lines(root: Path, name: str, matrix: dict[str, list[str]] | None = None) -> str:
    """The entry of dvc.yaml for one step, ready to paste."""
    matrix = matrix or {}
    values = ", ".join(f"{key}: [{', '.join(map(str, choices))}]" for key, choices in matrix.items())
    outs = expected_outs(root, name, list(matrix)).items()
    lines = [f"  {name}:", *([f"    matrix: {{{values}}}"] if matrix else [])]
    lines += [
        f"    cmd: {_command(name, list(matrix))}",
        f"    params: [{', '.join(expected_params(root, name))}]",
        "    deps:",
    ]
    lines += [f"      - {path}" for path in expected_deps(root, name, list(matrix))]
    return "\n".join([*lines, *_out_lines(dict(outs), [])])


def write_deps(root: Path) -> None:
    """Give every stage of dvc.yaml the params, deps and outs that its module has; everything else stays as it is."""
    path = root / "dvc.yaml"
    stages, lines, name = read_stages(root), [], ""
    section, curves = "", re.findall(r"^      - \S+\.csv: \{.*", path.read_text(encoding="utf-8"), re.MULTILINE)
    for line in path.read_text(encoding="utf-8").splitlines():
        if re.fullmatch(r"  \w+:", line):
            name = line.strip(" :")
        if line.startswith("      - ") and section in ("deps", "outs", "metrics", "plots"):
            continue
        section = line.strip(" :") if re.fullmatch(r"    \w+:", line) else ""
        if section in ("outs", "metrics", "plots"):
            continue
        if line.startswith("    params: ["):
            line = f"    params: [{', '.join(expected_params(root, name))}]"
        lines.append(line)
        if section == "deps":
            keys = list(stages[name].matrix)
            lines += [f"      - {dep}" for dep in expected_deps(root, name, keys)]
            lines += _out_lines(expected_outs(root, name, keys), curves)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _out_lines(outs: dict[str, bool], curves: list[str]) -> list[str]:
    """The sections `outs`, `metrics` and `plots` of a stage; tables of `curves` keep how they are drawn."""
    drawn = {line.split()[1].rstrip(":"): line for line in curves}
    sections = {
        "outs": [f"      - {path}" for path, cache in outs.items() if cache and path not in drawn],
        "metrics": [f"      - {path}: {{cache: false}}" for path in outs if path == HEADLINES],
        "plots": [
            drawn.get(path, f"      - {path}: {REPORT}")
            for path, cache in outs.items()
            if path in drawn or (not cache and path != HEADLINES)
        ],
    }
    return [line for section, items in sections.items() if items for line in (f"    {section}:", *items)]


def violations(root: Path, order: list[str] | None = None) -> list[str]:
    """Everything on which dvc.yaml, params.yaml and the code disagree; empty when they agree."""
    stages, blocks, steps = read_stages(root), list(read_yaml(root / "params.yaml")), step_names(root)
    found = name_violations(list(stages), [name for name in blocks if name not in (TASK, LADDER)], steps, order)
    for name in steps:
        if name in stages:
            found += wiring_violations(root, stages[name])
        found += params_violations(root, name)
    return [
        *found,
        *order_violations(root, list(stages.values())),
        *direction_violations(root),
        *template_violations(root),
    ]


def name_violations(
    stages: list[str], blocks: list[str], steps: list[str], order: list[str] | None = None
) -> list[str]:
    """Stages, params blocks and modules bear the same names, and the stages stand in the given order."""
    found = []
    for name in sorted({*stages, *blocks, *steps}):
        places = {"dvc.yaml": stages, "params.yaml": blocks, "pipeline_steps/": steps}
        missing = [place for place, names in places.items() if name not in names]
        if missing:
            found.append(f"'{name}' is missing in {' and '.join(missing)}")
    if order is not None and stages != order:
        found.append(f"dvc.yaml names its stages as\n  {' '.join(stages)}\nexpected\n  {' '.join(order)}")
    return found


def wiring_violations(root: Path, stage: Stage) -> list[str]:
    """The command, params, deps and outs of one stage are what its module says."""
    keys = list(stage.matrix)
    outs = expected_outs(root, stage.name, keys)
    deps = expected_deps(root, stage.name, keys)
    found = []
    if stage.cmd != _command(stage.name, keys):
        found.append(f"cmd: got '{stage.cmd}', expected '{_command(stage.name, keys)}'")
    if stage.params != expected_params(root, stage.name):
        expected = ", ".join(expected_params(root, stage.name))
        found.append(f"params: got {stage.params}, expected [{expected}]")
    found += _difference("deps", stage.deps, deps) + _difference("outs", list(stage.outs), list(outs))
    found += [
        f"outs: {path} must {'be cached' if cached else 'have {cache: false}: it is kept in git'}"
        for path, cached in outs.items()
        if stage.outs.get(path, cached) is not cached
    ]
    found += [
        f"plots: {path} must stand here: DVC's run cache leaves a stage out that has `cache: false` under outs"
        for path, cached in outs.items()
        if path in stage.outs and not cached and path not in stage.run_cached
    ]
    if not found:
        return []
    paste = expected_lines(root, stage.name, stage.matrix)
    return ["\n  ".join([f"stage '{stage.name}' of dvc.yaml:", *found]) + f"\nit should be\n{paste}"]


def params_violations(root: Path, name: str) -> list[str]:
    """The Params of a step have no defaults, explain every field, and accept the step's block of params.yaml."""
    model = getattr(load_step(root, name), "Params", None)
    where = f"pipeline_steps/{name}.py, Params"
    if not (isinstance(model, type) and issubclass(model, Params)) or model is Params:
        return [f"{where}: is missing, or is no ratchet.params.Params"]
    found = []
    source = (root / "pipeline_steps" / f"{name}.py").read_text(encoding="utf-8")
    code = source + "".join(
        (root / path).read_text(encoding="utf-8") for path in closure(root, Path("pipeline_steps") / f"{name}.py")
    )
    for key, at in fields_elsewhere(model).items():
        if not re.search(rf"\.{key}\b", code):
            found.append(f"{where}.{key}: nothing reads it, so the stage need not depend on {at.key}")
    for key, value in model.model_fields.items():
        if key in fields_elsewhere(model) or any(isinstance(item, Measured) for item in value.metadata):
            continue  # explained where the value stands
        if not value.is_required():
            found.append(f"{where}.{key}: has a default; values live in params.yaml only")
        if not (value.description or "").strip():
            found.append(f"{where}.{key}: has no docstring")
    try:
        path = root / "params.yaml"
        check_block(model, name, read_yaml(path), path)
    except ParamsError as error:
        found.append(str(error))
    return found


def order_violations(root: Path, stages: list[Stage]) -> list[str]:
    """Every dependency is a file of the repository, or the output of a stage that stands earlier."""
    found, written = [], {}
    for stage in stages:
        for path in itertools.chain.from_iterable(_expand(out, stage.matrix) for out in stage.outs):
            written[path] = stage.name
    names = [stage.name for stage in stages]
    values = read_yaml(root / "params.yaml")
    for stage in stages:
        deps = [_with_params(dep, values) for dep in stage.deps]
        for dep in itertools.chain.from_iterable(_expand(dep, stage.matrix) for dep in deps):
            writers = [name for path, name in written.items() if _overlap(dep, path)]
            if not writers and not (root / dep).exists():
                found.append(f"stage '{stage.name}' reads {dep}, which no stage writes and the repository lacks")
            for writer in writers:
                if names.index(writer) >= names.index(stage.name):
                    found.append(f"stage '{stage.name}' reads {dep}, which the later stage '{writer}' writes")
    return found


def _stage(name: str, entry: dict[str, Any]) -> Stage:
    allowed = {"matrix", "cmd", "params", "deps", "outs", "metrics", "plots", "desc", "meta"}
    unknown = sorted(set(entry) - allowed)
    assert not unknown, f"stage '{name}' of dvc.yaml: {', '.join(unknown)} are not among {', '.join(sorted(allowed))}"
    outs: dict[str, bool] = {}
    for item in [*entry.get("outs", []), *entry.get("metrics", []), *entry.get("plots", [])]:
        options: dict[str, dict[str, Any]] = item if isinstance(item, dict) else {item: {}}
        outs |= {path: bool((values or {}).get("cache", True)) for path, values in options.items()}
    cmd, deps, params = " ".join(str(entry["cmd"]).split()), list(entry.get("deps", [])), list(entry.get("params", []))
    kept = [*entry.get("metrics", []), *entry.get("plots", [])]
    run_cached = [path for item in kept for path in (item if isinstance(item, dict) else [item])]
    return Stage(name, cmd, deps, outs, params, run_cached, dict(entry.get("matrix", {})))


def _command(name: str, keys: list[str]) -> str:
    return " ".join([f"python -m pipeline_steps.{name}", *(f"${{item.{key}}}" for key in keys)])


def _to_dvc(path: str, keys: list[str]) -> str:
    """`models/{model}` as `models/${item.model}`."""
    return re.sub(r"\{(\w+)\}", lambda match: f"${{item.{match[1]}}}" if match[1] in keys else match[0], path)


def _expand(path: str, matrix: dict[str, list[str]]) -> list[str]:
    paths = [path]
    for key, values in matrix.items():
        paths = [known.replace(f"${{item.{key}}}", str(value)) for known in paths for value in values]
    return list(dict.fromkeys(paths))


def _with_params(path: str, values: dict[str, Any]) -> str:
    """`${ingest.watch}` as the value that params.yaml gives it; what is no value of it stays."""

    def value(match: re.Match[str]) -> str:
        block = values.get(match[1])
        return str(block.get(match[2], match[0])) if isinstance(block, dict) else match[0]

    return re.sub(r"\$\{(\w+)\.(\w+)\}", value, path)


def _written_before(root: Path, name: str, path: str) -> list[str]:
    """`models/*` as everything below `models` that an earlier stage writes, each by its own name."""
    if not path.endswith("/*"):
        return [path]
    found: list[str] = []
    for stage in read_stages(root).values():
        if stage.name == name:
            return found
        outs = itertools.chain.from_iterable(_expand(out, stage.matrix) for out in stage.outs)
        found += [out for out in outs if out.startswith(path[:-1])]
    return found


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _difference(what: str, got: list[str], expected: list[str]) -> list[str]:
    lines = [f"{what}: add    - {path}" for path in expected if path not in got]
    lines += [f"{what}: remove - {path}" for path in got if path not in expected]
    return lines + [f"{what}: twice  - {path}" for path in sorted({path for path in got if got.count(path) > 1})]


def main(arguments: list[str]) -> int:
    """Print the lines of dvc.yaml for the named steps (all by default), or with --check what is wrong."""
    root = Path.cwd()
    if arguments == ["--check"]:
        found = violations(root, ORDER)
        print("\n\n".join(found) or "dvc.yaml, params.yaml and the code agree")
        return 1 if found else 0
    if arguments == ["--write"]:
        write_deps(root)
        return 0
    names = arguments or [name for name in ORDER if name in step_names(root)]
    matrices = {name: stage.matrix for name, stage in read_stages(root).items()} if Path("dvc.yaml").exists() else {}
    print("stages:")
    for name in names:
        print(expected_lines(root, name, matrices.get(name) or _placeholders(root, name)))
    return 0


def _placeholders(root: Path, name: str) -> dict[str, list[str]]:
    step = load_step(root, name)
    found = re.findall(r"\{(\w+)\}", " ".join([*step.READS.values(), *step.WRITES.values()]))
    return {key: ["..."] for key in dict.fromkeys(found)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
