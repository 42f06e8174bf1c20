"""The bench of scoring tables: ratios are within rounds, and the table says all of it."""

from __future__ import annotations

from benchmarks.scoring import BARE, OWN, PIPELINE, WHOLE, figures, table


def test_ratios_are_those_of_the_same_round() -> None:
    rates = {OWN: [100.0, 200.0], WHOLE: [90.0, 180.0], BARE: [95.0, 200.0], PIPELINE: [10.0, 20.0]}
    found = figures(rates)
    assert found["part_of_own"][WHOLE]["value"] == 0.9  # of the medians it would be 135 of 150 too, of the least not
    assert (found["part_of_own"][BARE]["low"], found["part_of_own"][BARE]["high"]) == (0.95, 1.0)
    assert found["times_pipeline"]["value"] == 9.0
    assert "times_pipeline" not in figures({name: rates[name] for name in (OWN, WHOLE, BARE)})
    report = {
        "command": "python -m benchmarks.scoring",
        "machine": {"cpu": "a CPU", "n_threads": 2},
        "bundles": {"static": {"n_rows": 200, **found}},
    }
    assert "| static | 200 | 150" in table(report)
