"""The style sheet of the report page: system fonts, light and dark, nothing fetched from anywhere."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fcfcfa; --card: #ffffff; --ink: #1b2024; --soft: #5a646e; --line: #dfe2e0; --shade: #f2f4f2;
  --accent: #0c6b66; --good: #19703f; --good-shade: #e6f3ea; --bad: #a8321c; --bad-shade: #faeae6;
  --s0: #0c6b66; --s1: #b4552d; --s2: #4a5fb0; --s3: #8a6d12; --s4: #8b3f86; --s5: #557a2a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181a; --card: #1b2023; --ink: #e6eaea; --soft: #9aa6ab; --line: #32393d; --shade: #22282b;
    --accent: #5cc4b8; --good: #6fcf97; --good-shade: #17301f; --bad: #f0907a; --bad-shade: #3a1f19;
    --s0: #5cc4b8; --s1: #ee9a6e; --s2: #97a9f2; --s3: #d9bb55; --s4: #d592d0; --s5: #a3cc70;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main, header.top { max-width: 1180px; margin: 0 auto; padding: 0 24px; }
header.top { padding-top: 40px; }
.eyebrow { margin: 0; color: var(--soft); font-size: 14px; }
h1 { font-size: 34px; line-height: 1.15; letter-spacing: -0.02em; margin: 4px 0 8px; text-wrap: balance; }
h2 { font-size: 23px; letter-spacing: -0.01em; margin: 56px 0 12px; padding-top: 18px;
  border-top: 1px solid var(--line); }
h3 { font-size: 17px; margin: 28px 0 8px; }
p { margin: 8px 0 12px; max-width: 72ch; }
a { color: var(--accent); }
code { font: 13px/1.4 ui-monospace, "SF Mono", Menlo, Consolas, monospace; background: var(--shade);
  padding: 1px 5px; border-radius: 4px; overflow-wrap: anywhere; }
.soft, figcaption, .missing { color: var(--soft); font-size: 14px; }
.missing { border: 1px dashed var(--line); border-radius: 8px; padding: 10px 14px; }
nav { display: flex; flex-wrap: wrap; gap: 6px 18px; margin: 20px 0 0; font-size: 15px; }
.verdict { border-radius: 12px; padding: 18px 22px; margin: 22px 0; border-left: 6px solid; }
.verdict.accepted { background: var(--good-shade); border-color: var(--good); }
.verdict.rejected { background: var(--bad-shade); border-color: var(--bad); }
.verdict p.answer { font-size: 22px; font-weight: 650; margin: 0 0 6px; overflow-wrap: anywhere; }
.verdict ul { margin: 6px 0 0; padding-left: 20px; }
.verdict li { margin: 4px 0; max-width: 85ch; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 14px; margin: 22px 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 18px; }
.tile .name { color: var(--soft); font-size: 14px; }
.tile .value { font-size: 28px; font-weight: 650; letter-spacing: -0.02em; line-height: 1.25;
  font-variant-numeric: tabular-nums; }
.tile .note { font-size: 14px; color: var(--soft); }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 12px; background: var(--card);
  margin: 14px 0; }
table { border-collapse: collapse; width: 100%; font-size: 14.5px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 8px 10px; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { color: var(--soft); font-weight: 550; font-size: 13px; vertical-align: bottom; background: var(--shade); }
tbody th { font-weight: 550; white-space: nowrap; }
td.n, th.n { text-align: right; } td.n { white-space: nowrap; }
td .ci, th .ci { display: block; font-weight: 400; color: var(--soft); font-size: 12px; }
tr.chosen > * { background: var(--good-shade); }
.pass { color: var(--good); } .fail { color: var(--bad); font-weight: 600; } .idle { color: var(--soft); }
td.center, th.center { text-align: center; }
thead th.gate { font-weight: 450; font-size: 12px; min-width: 66px; line-height: 1.3; }
dl { display: grid; grid-template-columns: minmax(130px, max-content) 1fr; gap: 5px 20px; margin: 10px 0;
  font-size: 15px; }
dt { color: var(--soft); } dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
dd > dl, dd > .scroll { margin-top: 2px; }
details { border: 1px solid var(--line); border-radius: 10px; padding: 8px 14px; margin: 8px 0;
  background: var(--card); }
summary { cursor: pointer; font-weight: 550; }
details ul { margin: 8px 0; padding-left: 20px; } details li { margin: 3px 0; font-size: 14.5px; }
figure { margin: 18px 0; }
figcaption { margin-top: 6px; max-width: 85ch; }
svg.figure { width: 100%; height: auto; max-width: 820px; display: block; }
figure img { max-width: 100%; height: auto; background: #fff; border-radius: 8px; border: 1px solid var(--line); }
svg .grid { stroke: var(--line); fill: none; } svg text { fill: var(--ink); font-size: 12px; font-family: inherit; }
svg .tick, svg .axis { fill: var(--soft); } svg .axis { font-size: 13px; }
svg .front { stroke: var(--accent); fill: none; stroke-width: 1.5; stroke-dasharray: 5 4; }
svg .whisker { stroke: var(--soft); stroke-width: 1.5; fill: none; opacity: .65; }
svg .mark { stroke: var(--accent); stroke-width: 2; fill: var(--card); }
svg .mark.best { fill: var(--accent); } svg .mark.other { stroke: var(--soft); }
svg .mark.chosen { fill: var(--good); stroke: var(--good); }
svg .label.chosen, svg .key.chosen { font-weight: 700; fill: var(--good); }
svg .label.other, svg .key.other { fill: var(--soft); }
svg .line { fill: none; stroke-width: 2.2; } svg .band { opacity: .13; stroke: none; }
svg .line.series-0 { stroke: var(--s0); } svg .line.series-1 { stroke: var(--s1); }
svg .line.series-2 { stroke: var(--s2); } svg .line.series-3 { stroke: var(--s3); }
svg .line.series-4 { stroke: var(--s4); } svg .line.series-5 { stroke: var(--s5); }
svg .label.series-0, svg .band.series-0 { fill: var(--s0); }
svg .label.series-1, svg .band.series-1 { fill: var(--s1); }
svg .label.series-2, svg .band.series-2 { fill: var(--s2); }
svg .label.series-3, svg .band.series-3 { fill: var(--s3); }
svg .label.series-4, svg .band.series-4 { fill: var(--s4); }
svg .label.series-5, svg .band.series-5 { fill: var(--s5); }
footer { max-width: 1180px; margin: 64px auto 40px; padding: 16px 24px 0; color: var(--soft); font-size: 14px; }
@media print { nav { display: none; } details { break-inside: avoid; } figure, .tile { break-inside: avoid; } }
@media (max-width: 640px) { h1 { font-size: 27px; } dl { grid-template-columns: 1fr; gap: 0 0; }
  dd { margin-bottom: 8px; } }
"""
