"""What people read: one self-contained HTML page, verdict first, and a Markdown model card.

Both are made from the measured reports alone and hold no date, so the same reports give the same bytes.

Source: Mitchell et al., Model Cards for Model Reporting (FAT* 2019), https://arxiv.org/abs/1810.03993.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from ratchet.entry import entry
from ratchet.files import replace_file
from ratchet.gates.measured_reports import Report, read_known, read_report, with_details, with_judgement
from ratchet.params import load_params
from ratchet.reporting.cost import make_report
from ratchet.reporting.curve import read_curve
from ratchet.reporting.model_card import CardTexts, render_card
from ratchet.reporting.ownership import TRAINING, Prices
from ratchet.reporting.report_page import Material, render_page

NEEDED = {"evaluate": "reports/evaluate.json", "judge": "reports/judge.json", "decision": "reports/decision.json"}
OPTIONAL = {
    "ingest": "reports/ingest.json",
    "validate": "reports/validate.json",
    "split": "reports/split.json",
    "embed": "reports/embed.json",
    "sample": "reports/sample.json",
    "vet": "reports/vet.json",
    "challenge": "reports/challenge.json",
    "architect": "reports/architect.json",
    "baseline": "reports/baseline.json",
    "train": "reports/train.json",
    "distil": "reports/distil.json",
    "prune": "reports/prune.json",
    "explain": "reports/explain.json",
    "counterfactuals": "reports/counterfactuals.json",
    "audit": "reports/audit.json",
    "audit_details": "reports/audit_details.json",
    "behave": "reports/behave.json",
}
MEASUREMENTS = {
    name: f"measurements/{name}.json"
    for name in ("architect", "train", "distil", "prune", "counterfactuals", "evaluate", "decision")
}
"""What the machine measured, beside the report of the same name."""
READS = {
    **OPTIONAL,
    **NEEDED,
    **{f"{name}_measurements": path for name, path in MEASUREMENTS.items()},
    "curve": "reports/label_efficiency.csv",
    "explanations": "reports/explain",
    "live": "live.yaml",
}
WRITES = {"page": "reports/report.html", "card": "reports/model_card.md"}


class Params(Prices):
    """What only people can say about the model, shown as it is."""

    title: str = Field(min_length=1)
    """What the model does, as a heading."""
    description: str = Field(min_length=1)
    """What goes in and what comes out, in a sentence or two."""
    intended_use: str = Field(min_length=1)
    """For what, and by whom, the model is meant to be used."""
    out_of_scope: str = Field(min_length=1)
    """For what it is not meant."""
    ethical_considerations: list[str] = Field(min_length=1)
    """Whom errors or misuse may harm, and what was done about it."""
    caveats: list[str] = Field(min_length=1)
    """What else a user should know before relying on it."""


class Rendered(NamedTuple):
    """What `run` returns."""

    page: str
    card: str


def run(material: Material, params: Params) -> Rendered:
    """The page as HTML and the card as Markdown."""
    texts = CardTexts(**params.model_dump(exclude=set(Prices.model_fields)))
    return Rendered(render_page(material, params.title, params.description), render_card(material.reports, texts))


def load_material(prices: Prices) -> Material:
    """All reports that exist; those of evaluate and promote must."""
    present = {name: path for name, path in OPTIONAL.items() if Path(path).is_file()} | NEEDED
    reports: dict[str, Report] = {name: _read(name, Path(path)) for name, path in present.items()}
    if details := reports.pop("audit_details", None):
        reports["audit"] = with_details(reports.get("audit", {"bundles": {}}), details)
    reports["evaluate"] = with_judgement(reports["evaluate"], reports["judge"])
    if cost := load_cost(reports["decision"], prices):
        reports["cost"] = cost
    folder, beside = Path(READS["explanations"]), Path(WRITES["page"]).parent
    return Material(
        reports,
        read_curve(Path(READS["curve"])),
        [path.relative_to(beside).as_posix() for path in sorted(folder.rglob("*.html"))],
    )


def _read(name: str, path: Path) -> Report:
    return read_known(path, Path(MEASUREMENTS[name])) if name in MEASUREMENTS else read_report(path)


def load_cost(decision: Report, prices: Prices) -> Report | None:
    """What a month costs; None where nothing was chosen, or where the load or a report is not there."""
    timed = (f"{name}_measurements" for name in ("evaluate", *TRAINING))
    needed = [Path(READS[name]) for name in ("live", "sample", *TRAINING, *timed)]
    if not decision["chosen"] or not all(path.is_file() for path in needed):
        return None
    return make_report(Path(READS["live"]), prices, Path())


def main() -> None:
    """Load what was measured, render, save."""
    params = load_params(Params, "report")
    rendered = run(load_material(params), params)
    for path, text in ((WRITES["page"], rendered.page), (WRITES["card"], rendered.card)):
        with replace_file(Path(path)) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")
    print(f"report: {WRITES['page']} and {WRITES['card']}")


if __name__ == "__main__":
    entry(main)
