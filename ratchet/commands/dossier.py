"""`ratchet dossier`: technical documentation from measured figures, and the check of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="""Technical documentation from measured figures: AI Act Annex IV, model card, data sheet, ISO/IEC 42001, NIST.

    Every sentence names its figure, interval and file; what only people can say stays open until they say it.""",
)


@app.command()
def write(
    into: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the documents go.")] = Path("dossier"),
    language: Annotated[str, typer.Option(help="Of the fixed parts: en or de.")] = "en",
    pdf: Annotated[bool, typer.Option("--pdf/--no-pdf", help="Also as PDF.")] = True,
    signing_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM key of an elliptic curve that seals them.")
    ] = None,
    root: Annotated[Path, typer.Option(help="The clone.")] = Path(),
) -> None:
    """Write the documents of the model that the last run chose, and their seal.

    Answers to what only people can say stand in data/dossier.yaml, under the names that `questions` prints."""
    from ratchet.errors import ReleaseError
    from ratchet.files import replace_file
    from ratchet.reporting.dossier.documents import write_documents
    from ratchet.reporting.dossier.pages import to_html, to_pdf
    from ratchet.reporting.dossier.seal import SEAL, make_seal

    try:
        key = signing_key.read_bytes() if signing_key else None
    except OSError as error:
        raise ReleaseError("The signing key cannot be read.", where=signing_key, got=error.strerror) from None
    documents, figures = write_documents(root, language)
    files: dict[str, bytes] = {}
    for name, markdown in documents.items():
        files |= {f"{name}.md": markdown.encode(), f"{name}.html": to_html(markdown, language).encode()}
        if pdf:
            files[f"{name}.pdf"] = to_pdf(markdown, language)
    into.mkdir(parents=True, exist_ok=True)
    for name, content in {**files, SEAL: make_seal(files, figures, key)}.items():
        with replace_file(into / name) as partial:
            partial.write_bytes(content)
    n_open = sum(markdown.count("- [ ] ") for markdown in documents.values())
    print(f"{into}: {len(documents)} documents, {len(figures)} figures, {n_open} places that people must fill")


@app.command()
def verify(
    seal: Annotated[Path, typer.Argument(metavar="FILE", help="The dossier.json beside the documents.")],
    key: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Public PEM keys, one of which must have signed.")
    ] = None,
    root: Annotated[Path, typer.Option(help="The clone.")] = Path(),
) -> None:
    """Check each figure, document and the signature again.

    Exit code 1: something is not as it was sealed."""
    from ratchet.errors import ReleaseError
    from ratchet.reporting.dossier.seal import check_seal

    try:
        keys = [path.read_bytes() for path in key or []]
    except OSError as error:
        raise ReleaseError("A public key cannot be read.", where=error.filename, got=error.strerror) from None
    found = check_seal(seal, root, keys)
    for fault in found.faults:
        print(fault)
    signed = (
        "signed" if found.is_signed and keys else "signed, by whom was not asked" if found.is_signed else "not signed"
    )
    print(f"{found.n_documents} documents, {found.n_figures} figures, {len(found.faults)} faults; {signed}")
    if found.faults:
        raise typer.Exit(1)


@app.command()
def questions(
    language: Annotated[str, typer.Option(help="en or de.")] = "en",
    root: Annotated[Path, typer.Option(help="The clone.")] = Path(),
) -> None:
    """Print what only people can say, and what is answered."""
    from ratchet.reporting.dossier.catalogue import catalogue
    from ratchet.reporting.dossier.documents import read_answers

    answers = read_answers(root, catalogue(), language)
    for name, wording in catalogue().questions.items():
        print(f"{'x' if name in answers else ' '} {name}: {wording.of(language)}")
