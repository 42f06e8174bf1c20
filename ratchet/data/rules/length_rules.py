"""Rules about how long texts are, for all of them and for those of one language, with bounds learnt from a sample."""

from __future__ import annotations

from collections.abc import Sequence

from ratchet.data.rules.entries import BETWEEN, Entry, for_language, learnt_from, rounded, rule
from ratchet.data.rules.sample_profile import Lengths, SampleProfile

TOLERATED = 0.005
"""Share of the sample that a rule may quarantine; one that would take more is loosened, or only warns."""


def length_rules(profile: SampleProfile, languages: Sequence[str]) -> list[Entry]:
    """Rules about the number of words: what is common in the sample is not refused.

    Of a task in several languages the bounds for all are those of the language that needs the widest, since what is
    rare among all texts may be common in one of them; a language that needs less has bounds of its own.
    """
    of_each = {name: profile.by_language[name] for name in languages if name in profile.by_language}
    if len(languages) < 2:
        of_each = {}
    whole = Lengths(profile.n_rows, profile.n_words, profile.short_rates)
    everybody = [whole, *of_each.values()]
    shortest = min(_shortest(item) for item in everybody)
    usual = max(item.n_words.get("p99_9", 0.0) for item in everybody)
    longest = profile.n_words.get("max", 0.0)
    entries = [
        _too_few(profile, shortest, f"{profile.short_rates[3]:.2%} of texts have fewer than three words"),
        rule(
            "too_many_words",
            "quarantine",
            "too many words",
            BETWEEN,
            "n_words",
            {"max_value": rounded(max(1000.0, 2 * longest))},
            learnt_from(profile, f"the longest text has {longest:,.0f} words"),
        ),
        _too_long(profile, usual, f"99.9 % of texts have at most {usual:,.0f} words"),
    ]
    for name, item in of_each.items():
        said = f"of {item.n_rows:,} in {name}, "
        if (own := _shortest(item)) > shortest:
            found = f"{said}{item.short_rates[3]:.2%} have fewer than three words"
            entries.append(for_language(_too_few(profile, own, found), name))
        if _bound(own_usual := item.n_words["p99_9"]) < _bound(usual):
            found = f"{said}99.9 % have at most {own_usual:,.0f} words"
            entries.append(for_language(_too_long(profile, own_usual, found), name))
    return entries


def _shortest(lengths: Lengths) -> int:
    """The largest number of words, to 3, that hardly any text falls below; 0: none."""
    return max((n for n, rate in lengths.short_rates.items() if rate <= TOLERATED), default=0)


def _bound(usual: float) -> float:
    return rounded(max(100.0, usual))


def _too_few(profile: SampleProfile, shortest: int, found: str) -> Entry:
    severity, bound = "quarantine" if shortest else "warn", {"min_value": shortest or 1}
    return rule("too_few_words", severity, "too few words", BETWEEN, "n_words", bound, learnt_from(profile, found))


def _too_long(profile: SampleProfile, usual: float, found: str) -> Entry:
    why, bound = "longer than nearly all texts of the sample", {"max_value": _bound(usual)}
    return rule("very_long_text", "warn", why, BETWEEN, "n_words", bound, learnt_from(profile, found))
