"""The report page as a Jinja template: verdict first, then what it rests on. All texts are escaped by Jinja."""

PAGE = """\
{%- macro show(item) -%}
{%- if item.kind == "text" -%}{{ item.text }}
{%- elif item.kind == "pairs" -%}
<dl>{% for name, inner in item.pairs %}<dt>{{ name }}</dt><dd>{{ show(inner) }}</dd>{% endfor %}</dl>
{%- else -%}
<div class="scroll"><table><thead><tr>{% for name in item.head %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in item.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{%- if item.left_out %}<p class="soft">{{ item.left_out }} more rows are in the report's JSON.</p>{% endif %}
{%- endif -%}
{%- endmacro -%}
{%- macro caption(text, command) -%}
<figcaption>{{ text }}{% if command %} Made by <code>{{ command }}</code>.{% endif %}</figcaption>
{%- endmacro -%}
{%- macro figure(svg, text, command) -%}
{% if svg %}<figure>{{ svg|safe }}{{ caption(text, command) }}</figure>{% endif %}
{%- endmacro -%}
{%- macro made(command) -%}
{% if command %}<p class="soft">Made by <code>{{ command }}</code>.</p>{% endif %}
{%- endmacro -%}
{%- macro missing(text) -%}<p class="missing">{{ text }}</p>{%- endmacro -%}
{%- macro row_head(name, note="") -%}
<tr{% if name == chosen %} class="chosen"{% endif %}><th scope="row">{{ name }}
{%- if note %}<span class="ci">{{ note }}</span>{% endif %}</th>
{%- endmacro -%}
{%- macro cells(items) -%}
{% for cell in items %}<td class="n">{{ cell.value }}
{%- if cell.ci %}<span class="ci">{{ cell.ci }}</span>{% endif %}</td>{% endfor %}
{%- endmacro -%}
{%- macro metric_table(table) -%}
<div class="scroll"><table>
<thead><tr><th>Bundle</th>{% for head in table.head %}<th class="n">{{ head }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in table.rows %}{{ row_head(row.name) }}{{ cells(row.cells) }}</tr>
{% endfor %}</tbody></table></div>
{%- endmacro -%}
{%- macro more(title, item) -%}
{% if item %}<details><summary>{{ title }}</summary>{{ show(item) }}</details>{% endif %}
{%- endmacro -%}
{%- macro reported(part) -%}
<h3>{{ part.title }}</h3>
{% if part.outline %}{{ show(part.outline) }}
{{ made(part.command) }}
{% else %}{{ missing("The report of this step is not available.") }}{% endif %}
{%- endmacro -%}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}: {{ verdict }}</title>
<style>{{ style|safe }}</style>
</head>
<body>
<header class="top">
<p class="eyebrow">Ratchet report</p>
<h1>{{ title }}</h1>
<p>{{ description }}</p>
<section class="verdict {{ verdict }}" aria-label="Verdict">
<p class="answer">{% if chosen %}Accepted: {{ chosen }}{% else %}Rejected: nothing is promoted{% endif %}</p>
<ul>{% for reason in reasons %}<li>{{ reason }}</li>{% endfor %}</ul>
</section>
{% if tiles %}
{% if not chosen %}<p class="soft">Nothing was chosen; the figures below are those of {{ described }},
which failed the fewest gates.</p>{% endif %}
<div class="tiles">{% for tile in tiles %}<div class="tile"><div class="name">{{ tile.name }}</div>
<div class="value">{{ tile.value }}</div>{% if tile.ci %}<div class="note">{{ tile.ci }}</div>{% endif %}
<div class="note">{{ tile.note }}</div></div>{% endfor %}</div>
{% endif %}
<p class="soft">The verdict is made by <code>{{ commands.decision }}</code>, the figures by
<code>{{ commands.evaluate }}</code>.</p>
<nav aria-label="Contents"><a href="#results">Results</a><a href="#gates">Gates</a>
<a href="#challenge">Beyond the test set</a><a href="#slices">Slices and fairness</a>
<a href="#behaviour">Behaviour</a><a href="#confidence">Confidence</a>
<a href="#explanations">Explanations</a><a href="#labels">Labels</a><a href="#data">Data</a>
<a href="#architecture">Architecture</a><a href="#training">Training</a><a href="#cost">Cost</a>
<a href="#machine">Machine and commands</a></nav>
</header>
<main>
<h2 id="results">Results</h2>
<p>{{ n_test }} test texts; 95 % intervals in brackets. Latency is of one text at a time.</p>
<div class="scroll"><table>
<thead><tr><th>Bundle</th>{% for head in result_head %}<th class="n">{{ head }}</th>{% endfor %}
<th>Gates</th></tr></thead>
<tbody>{% for row in results %}{{ row_head(row.name, row.engine) }}{{ cells(row.cells) }}
<td class="{{ 'pass' if row.gates == 'passed' else 'idle' }}">{{ row.gates }}</td></tr>
{% endfor %}</tbody></table></div>
{{ made(commands.evaluate) }}
{{ figure(scatter, "Accuracy against p95 latency (logarithmic). Whiskers are 95 % intervals; no bundle is "
"both faster and more accurate than one on the dashed line.", commands.evaluate) }}

<h2 id="gates">Gates</h2>
<p>{{ rule }}</p>
<div class="scroll"><table>
<thead><tr><th>Candidate, in order</th>
{% for head in gate_head %}<th class="gate center">{{ head }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in gates %}{{ row_head(row.name) }}
{% for cell in row.cells %}<td class="center {{ cell.state }}" title="{{ cell.reason }}">{{ cell.mark }}
<span class="ci">{{ cell.value }}</span></td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
<p class="soft">✓ passed, ✕ failed, ○ does not apply, ? not known and waived. Each in words, with
the file to look at:</p>
{% for row in gates %}<details{% if row.name == described %} open{% endif %}>
<summary>{{ row.name }}: {{ row.outcome }}</summary>
<ul>{% for cell in row.cells %}<li{% if cell.state == "fail" %} class="fail"{% endif %}>{{ cell.reason }}
{%- if cell.see %} <code>{{ cell.see }}</code>{% endif %}</li>
{% endfor %}</ul>
</details>{% endfor %}
{{ made(commands.decision) }}

<h2 id="challenge">Beyond the test set</h2>
{% if challenge %}<p>The random test set beside harder ones: texts of another domain; test texts in the slices on which
a cheap model is weak beyond chance; edits after which a reader would give another label (consistency: the text and
its edit are both right); and edits that must not matter (violations: the predicted class changed).</p>
{{ metric_table(challenge) }}
{{ made(commands.evaluate) }}
{{ more("Slice by slice and edit by edit: " ~ described, challenge.details) }}
{{ more("Edited texts on which most bundles fail", challenge.failures) }}
{% else %}{{ missing("No challenge set was measured.") }}{% endif %}

<h2 id="slices">Slices and fairness</h2>
{% if slices_svg %}{{ figure(slices_svg, "Accuracy of " ~ described ~ " on slices of the test texts; "
"the dashed line is its accuracy on all of them.", commands.evaluate) }}
{% else %}{{ missing("No slices were measured for the described bundle.") }}{% endif %}
{% if audit %}{{ metric_table(audit) }}
<p class="soft">A difference or gap of 0 means that all groups fare alike.
Made by <code>{{ commands.audit }}</code>.</p>
{{ more("People whom texts speak of, group by group: " ~ described, trust.people) }}
{{ more("What the terms of the lexicon matched", trust.matches) }}
{{ more("Thresholds by group, before and after: " ~ described, trust.thresholds) }}
{% else %}{{ missing("The audit is not available.") }}{% endif %}

<h2 id="behaviour">Behaviour</h2>
{% if behave %}{{ metric_table(behave) }}
<p class="soft">Only bundles that may be chosen are tested. Made by <code>{{ commands.behave }}</code>.</p>
{{ more("Test by test: " ~ described, trust.tests) }}
{{ more("Cases that failed", trust.failures) }}
{{ more("Swaps of identity terms that move the prediction most", trust.swaps) }}
{{ more("Words that turn predictions alone", trust.triggers) }}
{% else %}{{ missing("No behaviour was tested.") }}{% endif %}

<h2 id="confidence">Confidence</h2>
{% if trust.reliability %}{{ figure(trust.reliability, "Accuracy of " ~ described ~
" against its mean confidence, in bins; bands are 95 % intervals.", commands.audit) }}
{{ figure(trust.selective, "Accuracy of " ~ described ~
" when it answers only the texts it is surest of.", commands.audit) }}
{{ more("Expected calibration error", trust.ece) }}
{{ more("Texts of the other domain: what flags them", trust.elsewhere) }}
{{ made(commands.audit) }}
{% else %}{{ missing("Confidence was not measured for the described bundle.") }}{% endif %}

<h2 id="explanations">Explanations</h2>
{% if explain %}{{ metric_table(explain) }}
{{ made(commands.explain) }}
{{ more("More of the explanations: " ~ described, explain.details) }}
{% else %}{{ missing("The explanations are not available.") }}{% endif %}
{% for image in images %}<figure><img src="data:image/png;base64,{{ image.data }}" alt="{{ image.title }}">
{{ caption(image.title, commands.explain) }}</figure>{% endfor %}
{% if links %}<p>Text by text, in files beside this page:
{% for link in links %}<a href="{{ link.href }}">{{ link.title }}</a>{{ "" if loop.last else ", " }}{% endfor %}.</p>
{% endif %}

{% for part in parts.explanations %}{{ reported(part) }}{% endfor %}

<h2 id="labels">Labels</h2>
{% if curve %}{{ figure(curve, curve_caption, commands.sample) }}
{% else %}{{ missing("No label-efficiency curve is available.") }}{% endif %}
{% if label_worth.pairs %}<h3>What a label costs and brings</h3>
{{ show(label_worth) }}
{{ made(commands.sample) }}{% endif %}

{% for part in parts.labels %}{{ reported(part) }}{% endfor %}

<h2 id="data">Data</h2>
{% for part in parts.data %}{{ reported(part) }}{% endfor %}

<h2 id="architecture">Architecture</h2>
{% if architectures %}<p>{{ architectures.told }}</p>
{{ figure(architectures.scatter, "Accuracy of candidate architectures against p95 latency (logarithmic), uncompressed "
  ~ "and each trained on the same labels. Whiskers are 95 % intervals; no candidate is both faster and more accurate "
  ~ "than one on the line.", architectures.command) }}
{{ show(architectures.rows) }}
<p class="soft">The candidates stand in report.architectures of params.yaml.</p>
{% else %}{{ missing("Candidates were not compared on these labels: python -m benchmarks.architectures does it, in "
  ~ "some minutes.") }}{% endif %}

<h2 id="training">Training and compression</h2>
{% for part in parts.training %}{{ reported(part) }}{% endfor %}

<h2 id="cost">Cost</h2>
{% if cost %}<p>{{ cost.told }} US dollars a month:</p>
{{ show(cost.month) }}
<p>What each optimization saves against the bundle above it. Used is the processor time of the answers; reserved are
cores that are there for the busiest hour: below the load that the fewest cores carry, a faster model saves none.</p>
{{ show(cost.saved) }}
<p class="soft">Made by <code>{{ cost.command }}</code>; the load stands in live.yaml, the prices in params.yaml.</p>
{% else %}{{ missing("Costs are told of a bundle that was chosen.") }}{% endif %}

<h2 id="machine">Machine and commands</h2>
{{ show(machine) }}
{{ made(commands.evaluate) }}
<h3>Commands</h3>
<dl>{% for name, command in all_commands %}<dt>{{ name }}</dt><dd><code>{{ command }}</code></dd>{% endfor %}</dl>
</main>
<footer>This page is complete in itself: nothing is loaded from elsewhere, and no script runs.</footer>
</body>
</html>
"""
