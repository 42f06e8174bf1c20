"""The page people read when production has changed: one HTML file, readable offline, without any text of the log."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from ratchet.monitoring.drift import STATISTICS
from ratchet.reporting.page_style import STYLE

N_SHOWN = 48
WIDTH, HEIGHT, MARGIN = 720, 150, 40


def monitor_page(windows: Sequence[dict[str, Any]]) -> str:
    """The page of the windows that were judged, the latest last; there is at least one."""
    latest, shown = windows[-1], windows[-N_SHOWN:]
    findings = latest["findings"]
    alerts = [item for item in findings if item["severity"] == "alert"]
    state = "rejected" if alerts else "accepted"
    answer = f"{len(alerts)} alerts" if alerts else "Nothing alarming" if findings else "As usual"
    parts = [
        f'<header class="top"><p class="eyebrow">Ratchet · production of {escape(latest["model_version"])}</p>'
        f"<h1>What the monitor sees</h1></header><main>",
        f'<div class="verdict {state}"><p class="answer">{answer}</p><ul>{_list(findings)}</ul></div>',
        _tiles(latest),
        _drift(latest),
        _figures(shown),
        _slices(latest),
        _traffic(latest),
        _rules(latest),
    ]
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Ratchet: production</title><style>{STYLE}</style></head><body>"
    )
    foot = (
        f"</main><footer>The window from {escape(latest['start'])} to {escape(latest['end'])}, and the "
        f"{len(shown) - 1} before it. Written by ratchet monitor.</footer></body></html>\n"
    )
    return head + "".join(parts) + foot


def _list(findings: Sequence[dict[str, Any]]) -> str:
    if not findings:
        return "<li>No finding in the last window.</li>"
    return "".join(
        f"<li><b>{escape(item['kind'])}: {escape(item['name'])}</b> ({escape(item['severity'])}). "
        f"{escape(item['said'])} <i>{escape(item['next_step'])}</i></li>"
        for item in findings
    )


def _tiles(latest: dict[str, Any]) -> str:
    estimate, late = latest["accuracy_estimates"]["cbpe"], latest.get("late_labels") or {}
    tiles = [
        ("requests", f"{latest['n_requests']:,}", f"{latest['traffic']['per_minute']:.1f} a minute"),
        (
            "accuracy, estimated without labels",
            _number(estimate["value"]),
            f"{_interval(estimate)}; {latest['reference_accuracy']:.3f} on the reference",
        ),
    ]
    if "accuracy" in late:
        tiles.append(
            (
                "accuracy, late labels",
                _number(late["accuracy"]["value"]),
                f"{_interval(late['accuracy'])} of {late['n']} corrections",
            )
        )
        tiles.append(("calibration error, late labels", _number(late["ece"]["value"]), _interval(late["ece"])))
    if "latency_p95_ms" in latest["traffic"]:
        tiles.append(("p95 latency", f"{latest['traffic']['latency_p95_ms']:.0f} ms", ""))
    cells = "".join(
        f'<div class="tile"><div class="name">{name}</div><div class="value">{value}</div>'
        f'<div class="note">{note}</div></div>'
        for name, value, note in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _drift(latest: dict[str, Any]) -> str:
    drift = latest["drift"]
    if not drift:
        return '<h2>Drift</h2><p class="missing">The window holds too few answered requests to be judged.</p>'
    said = "drifted, as the one before" if drift["again"] else "drifted" if drift["drifted"] else "as usual"
    rows = "".join(
        f'<tr><th>{name}</th><td>{STATISTICS[name]}</td><td class="n">{item["value"]:.3f}</td>'
        f'<td class="n {"fail" if item["p"] <= drift["alpha"] / len(STATISTICS) else ""}">{item["p"]:.4f}</td></tr>'
        for name, item in drift["statistics"].items()
    )
    return (
        f"<h2>Drift</h2><p>{drift['n']} requests at random against the reference. Without drift, all statistics "
        f"together are called drifted in {100 * drift['alpha']:g} % of windows; this window's p-value is "
        f"{drift['p']:.4f}: {said}.</p>"
        '<div class="scroll"><table><thead><tr><th>what</th><th>statistic</th><th class="n">value</th>'
        f'<th class="n">p</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _figures(windows: Sequence[dict[str, Any]]) -> str:
    estimates = [item["accuracy_estimates"]["cbpe"]["value"] for item in windows]
    p_values = [item["drift"]["p"] if item["drift"] else None for item in windows]
    return (
        "<h2>Over time</h2>"
        + _line("Accuracy, estimated without labels", estimates, windows[-1]["reference_accuracy"], "the reference's")
        + _line("p-value of drift", p_values, (windows[-1]["drift"] or {}).get("alpha"), "the threshold")
    )


def _line(title: str, values: Sequence[float | None], mark: float | None, marked: str) -> str:
    """A line over the windows in [0, 1]; a window without a value is a gap."""
    step = (WIDTH - 2 * MARGIN) / max(1, len(values) - 1)

    def place(index: int, value: float) -> str:
        return f"{MARGIN + index * step:.1f},{HEIGHT - 20 - value * (HEIGHT - 40):.1f}"

    known = [(index, value) for index, value in enumerate(values) if value is not None and value == value]
    dots = "".join(
        f'<circle class="mark" r="3" cx="{place(i, v).split(",")[0]}" cy="{place(i, v).split(",")[1]}"/>'
        for i, v in known
    )
    path = " ".join(place(index, value) for index, value in known)
    level = ""
    if mark is not None:
        y = HEIGHT - 20 - mark * (HEIGHT - 40)
        level = f'<path class="front" d="M{MARGIN} {y:.1f}H{WIDTH - MARGIN}"/>'
    ticks = "".join(
        f'<text class="tick" x="6" y="{HEIGHT - 16 - tick * (HEIGHT - 40):.0f}">{tick:g}</text>' for tick in (0, 0.5, 1)
    )
    caption = f"{title}, a point a window, in [0, 1]; dashed: {marked}." if mark is not None else f"{title}."
    return (
        f'<figure><svg class="figure" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'{ticks}{level}<polyline class="line series-0" points="{path}"/>{dots}</svg>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _slices(latest: dict[str, Any]) -> str:
    judged = latest.get("slices") or {}
    if not (found := judged.get("slices", {})):
        return ""
    labels = list(next(iter(found.values()))["selection_rate"])
    head = "".join(f'<th class="n">{escape(label)}</th>' for label in labels)
    rows = "".join(
        f'<tr><th>{escape(name)}</th><td class="n">{item["n"]}</td>{_cell(item["accuracy_estimate"])}'
        + "".join(_cell(item["selection_rate"][label]) for label in labels)
        + "</tr>"
        for name, item in found.items()
    )
    gaps = "; ".join(
        f"{escape(feature)}: {100 * gap['selection_rate']:.0f} points of selection, "
        f"{100 * gap['accuracy_estimate']:.0f} of estimated accuracy"
        for feature, gap in judged["gaps"].items()
    )
    small = [
        f"{escape(name)} ({escape(why)})"
        for name, item in found.items()
        if (why := item["accuracy_estimate"].get("reason", ""))
    ]
    notes = f"<p>Too small to say: {'; '.join(small)}.</p>" if small else ""
    if unknown := judged.get("not_in_reference"):
        notes += (
            f"<p>Not compared, because the reference was made before they were watched: "
            f"{', '.join(map(escape, unknown))}.</p>"
        )
    return (
        f"<h2>Slices and fairness</h2><p>Gaps between the slices of a feature: {gaps or 'none can be compared'}.</p>"
        '<div class="scroll"><table><thead><tr><th>slice</th><th class="n">requests</th>'
        f'<th class="n">estimated accuracy</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>{notes}'
    )


def _cell(item: dict[str, Any]) -> str:
    interval = "" if item.get("reason") else f'<span class="ci">{_interval(item)}</span>'
    return f'<td class="n">{_number(item["value"])}{interval}</td>'


def _traffic(latest: dict[str, Any]) -> str:
    rates = {name: value for name, value in latest["traffic"].items() if name not in ("per_minute", "latency_p95_ms")}
    items = "".join(
        f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{_percent(value)}</dd>" for name, value in rates.items()
    )
    return f"<h2>Traffic</h2><dl>{items}</dl>"


def _rules(latest: dict[str, Any]) -> str:
    broken = [item for item in latest.get("rules") or [] if not item["success"]]
    if not broken:
        return "<h2>Rules of the log</h2><p>Every rule of data/suites/production_log.yaml holds.</p>"
    items = "".join(f"<li>{escape(item['rule'])}: {item['observed']:g}</li>" for item in broken)
    return f"<h2>Rules of the log</h2><ul>{items}</ul>"


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None or value != value else f"{100 * value:.1f} %"


def _interval(item: dict[str, Any]) -> str:
    return f"[{_number(item['low'])}, {_number(item['high'])}]"
