"""Label Studio's labelling interface: the text, the classes with their guidelines, and fields for remarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

REMARKS = {"comment": "Comment", "change_reason": "Why the answer was changed, if it was"}
"""Fields for a person's own words, by name, with what stands in them while they are empty."""


def label_config(labels: Sequence[str], hints: Mapping[str, str]) -> str:
    """The interface of a new project: the reason, the text, the classes to choose one from, and fields for remarks.

    Args:
        labels: the classes.
        hints: class → its guideline, shown where the mouse rests on it.

    >>> '<Choice value="a &amp; b" hint="both" />' in label_config(["a & b", "c"], {"a & b": "both"})
    True
    """
    choices = "".join(f"<Choice value={quoteattr(name)}{_hint(hints.get(name, ''))} />" for name in labels)
    fields = "".join(
        f'<TextArea name="{name}" toName="text" rows="2" maxSubmissions="1" placeholder={quoteattr(shown)} />'
        for name, shown in REMARKS.items()
    )
    return (
        '<View><Header value="$reason" size="5" /><Text name="text" value="$text" />'
        f'<Choices name="label" toName="text" choice="single" required="true" showInLine="true">{choices}</Choices>'
        f"{fields}</View>"
    )


def updated_config(config: str, labels: Sequence[str], hints: Mapping[str, str]) -> str:
    """The interface with the classes, guidelines and fields for remarks that it lacks; empty where it lacks none.

    It is empty, too, where the project asks something else. No class is taken away: the server refuses that while an
    answer names it. What else people changed there stays.

    >>> config = '<View><Choices name="label"><Choice value="a"/></Choices></View>'
    >>> updated_config(config, ["a", "b"], {}).count("value")
    2
    """
    try:
        tree = ElementTree.fromstring(config)
    except ElementTree.ParseError:
        return ""
    choices = tree.find(".//Choices[@name='label']")
    if choices is None:
        return ""
    offered = {choice.get("alias") or choice.get("value") or "": choice for choice in choices.iter("Choice")}
    missing = [name for name in labels if name not in offered]
    for name in missing:
        offered[name] = ElementTree.SubElement(choices, "Choice", value=name)
    stale = [name for name, hint in hints.items() if name in offered and offered[name].get("hint") != hint]
    for name in stale:
        offered[name].set("hint", hints[name])
    asked = {field.get("name") for field in tree.iter("TextArea")}
    for name in (absent := [name for name in REMARKS if name not in asked]):
        about = choices.get("toName", "text")
        attributes = {"name": name, "toName": about, "rows": "2", "maxSubmissions": "1", "placeholder": REMARKS[name]}
        ElementTree.SubElement(tree, "TextArea", attributes)
    return ElementTree.tostring(tree, encoding="unicode") if missing or stale or absent else ""


def _hint(guideline: str) -> str:
    return f" hint={quoteattr(guideline)}" if guideline else ""
