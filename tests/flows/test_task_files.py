"""What init writes into params.yaml is read by DVC as it was meant."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from flows.init.task_files import dump, parse, set_values

TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12)


@given(name=TEXTS, values=st.lists(TEXTS, min_size=1, max_size=2))
@example(
    name="reverted_card_payment?", values=["no", "0", "1e-4", "- x", "a: b", "#", "{}", "say 'x'", 'say "x"', "é,[ü]"]
)
def test_class_names_and_values_are_read_by_dvc_as_they_are(name: str, values: list[str]) -> None:
    from dvc.utils.serialize import parse_yaml

    tree = parse(b"task:\n  classes: []\n")
    set_values(tree, {"task.classes": [{"name": name, "values": values}]})
    assert parse_yaml(dump(tree).decode(), "params.yaml")["task"]["classes"] == [{"name": name, "values": values}]
