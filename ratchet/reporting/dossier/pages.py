"""A document as a page and as a PDF, both from its Markdown and both the same whenever they are made."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from ratchet.errors import MissingExtraError
from ratchet.reporting.templates import render_template

WRITTEN = datetime(2000, 1, 1, tzinfo=UTC)
"""The date in every PDF: what is sealed must not change with the clock."""
FONT = "DejaVuSans"
INK = 25, 30, 40
FOR_PDF = {
    "<code>": '<font face="Mono" size="7">',
    "</code>": "</font>",
    "<td>": '<td align="left">',
    '<td style="text-align:right">': '<td align="right">',
    '<th style="text-align:right">': "<th>",
}
"""HTML of the Markdown → what fpdf2 understands of it."""
WIDTHS = 48, 24, 12, 16
"""Of the table's columns, in percent."""


def to_html(markdown: str, language: str) -> str:
    """The page; HTML in the Markdown is shown as text."""
    return render_template("dossier.html", language=language, title=_title(markdown), body=_body(markdown))


def to_pdf(markdown: str, language: str) -> bytes:
    """The document as a PDF with text that can be searched and read aloud.

    Raises:
        MissingExtraError: fpdf2 is not installed.
    """
    try:
        from fpdf import FPDF, TextStyle
    except ImportError:
        raise MissingExtraError("A PDF needs fpdf2.", fix="pip install 'ratchet[dossier]'") from None
    pdf = FPDF(format="A4")
    pdf.set_creation_date(WRITTEN)
    pdf.set_title(_title(markdown))
    pdf.set_lang(language)
    pdf.set_margin(18)
    for style, name in (("", FONT), ("B", f"{FONT}-Bold"), ("I", f"{FONT}-Oblique"), ("BI", f"{FONT}-BoldOblique")):
        pdf.add_font(FONT, style, _font(name))
    pdf.add_font("Mono", "", _font("DejaVuSansMono"))
    pdf.set_font(FONT, size=10)
    pdf.add_page()
    headings = {
        "h1": TextStyle(color=INK, font_size_pt=20, b_margin=0.4),
        "h2": TextStyle(color=INK, font_size_pt=13, t_margin=1.2, b_margin=0.3),
    }
    body = _body(markdown)
    for html, known in FOR_PDF.items():
        body = body.replace(html, known)
    for width in WIDTHS:
        body = body.replace("<th>", f'<th width="{width}%" align="left">', 1)
    pdf.write_html(body, tag_styles=headings)
    return bytes(pdf.output())


def _title(markdown: str) -> str:
    return markdown.partition("\n")[0].removeprefix("# ").replace("\\", "")


def _body(markdown: str) -> str:
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown))


def _font(name: str) -> Path:
    """DejaVu, which Matplotlib brings along, has the letters of most languages."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
