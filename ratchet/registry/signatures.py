"""SSH signatures of tags and commits, verified by `ssh-keygen` over the very bytes that are then read.

Git's own `verify-tag` would do the same, but decides by configuration which file of keys counts, and splits the object
in its own way. Here the object is split strictly, once: one signature, at its one place, over all the rest.

Source: the SSHSIG format, https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig; allowed signers,
`man ssh-keygen`.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ratchet.errors import ReleaseError

BEGIN, END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
PERSON = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,48}[a-z0-9])?")
"""A name in the policy and in the file of keys."""
KEY_TYPES = ("ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256", "sk-ecdsa-sha2-nistp256@openssh.com")
OPTION = re.compile(r'namespaces="git"|valid-(?:after|before)="[0-9]{8}(?:[0-9]{4}|[0-9]{6})?Z?"')
AUTHORITY = "Signed by nobody who is known"


@dataclass(frozen=True)
class Signers:
    """Allowed signers: the people whose keys count, as the protected branch names them."""

    text: str
    people: frozenset[str]


def read_signers(text: str) -> Signers:
    """The keys of a file of allowed signers, which is read more strictly than `ssh-keygen` does.

    A line is `name namespaces="git" key-type key`, with `valid-before` or `valid-after` where needed. Patterns,
    certificate authorities and a key under two names are refused: one could approve one's own work by them.

    >>> sorted(read_signers('ann namespaces="git" ssh-ed25519 AAAA\\n# left\\n').people)
    ['ann']

    Raises:
        ReleaseError: a line says anything else.
    """
    owners: dict[str, str] = {}
    lines = [line.strip() for line in text.splitlines()]
    for line in lines:
        if not line or line.startswith("#"):
            continue
        words = line.split()
        name, options, key_type, key = words if len(words) == 4 else (*words[:4], "", "", "", "")[:4]
        wrong = (
            len(words) != 4
            or not PERSON.fullmatch(name)
            or 'namespaces="git"' not in options
            or not all(OPTION.fullmatch(option) for option in options.split(","))
            or key_type not in KEY_TYPES
            or not re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", key)
        )
        if wrong:
            raise ReleaseError(
                "A line of the allowed signers is not understood.",
                got=line[:80],
                expected='name namespaces="git" ssh-ed25519 KEY',
                fix="correct the line; nobody counts until then",
            )
        if owners.setdefault(key.rstrip("="), name) != name:
            raise ReleaseError(
                "Two people share a key.",
                got=f"{owners[key.rstrip('=')]} and {name}",
                expected="a key of their own for everyone",
            )
    return Signers("\n".join([*lines, ""]), frozenset(owners.values()))


def signer_of(payload: bytes, signature: bytes, signers: Signers, at: datetime) -> str:
    """The name of whoever signed exactly these bytes for Git, with a key that counted at that time.

    Raises:
        ReleaseError: nobody who is known did.
    """
    with tempfile.TemporaryDirectory(prefix="ratchet-") as name:
        folder = Path(name)
        (folder / "signers").write_text(signers.text, encoding="utf-8")
        (folder / "signature").write_bytes(signature)
        moment = f"-Overify-time={at.astimezone(UTC):%Y%m%d%H%M%S}Z"
        files = ["-f", str(folder / "signers"), "-s", str(folder / "signature")]
        found = _ssh_keygen("-Y", "find-principals", moment, *files, stdin=b"")
        person = (found or "").strip()
        if person not in signers.people:
            raise ReleaseError(f"{AUTHORITY}.", expected="a key among the allowed signers of the protected branch")
        if _ssh_keygen("-Y", "verify", moment, "-n", "git", "-I", person, *files, stdin=payload) is None:
            raise ReleaseError("The signature is not one of this content.", got=f"a key of {person}")
    return person


def split_tag(content: bytes) -> tuple[bytes, bytes]:
    """The signed bytes of a tag object, and the one signature that ends it.

    Raises:
        ReleaseError: there is no SSH signature, or anything else beside it.
    """
    return _split(content, b"\n" + BEGIN + b"\n", "tag")


def split_commit(content: bytes) -> tuple[bytes, bytes]:
    """The signed bytes of a commit object (all but its signature header), and the signature.

    Raises:
        ReleaseError: there is not exactly one SSH signature in the header.
    """
    head, blank, body = content.partition(b"\n\n")
    fields: list[bytes] = []
    for line in head.split(b"\n"):
        if line.startswith(b" ") and fields:
            fields[-1] += b"\n" + line
        else:
            fields.append(line)
    signed = [field for field in fields if field.startswith(b"gpgsig")]
    if len(signed) != 1 or not signed[0].startswith(b"gpgsig " + BEGIN + b"\n"):
        raise ReleaseError("The commit is not signed with an SSH key.", fix="git commit -S, with gpg.format=ssh")
    kept = [field for field in fields if field is not signed[0]]
    return b"\n".join(kept) + blank + body, signed[0].removeprefix(b"gpgsig ").replace(b"\n ", b"\n") + b"\n"


def _split(content: bytes, begin: bytes, kind: str) -> tuple[bytes, bytes]:
    payload, _, rest = content.partition(begin)
    body, closed, after = rest.partition(b"\n" + END + b"\n")
    if not closed:
        raise ReleaseError(f"The {kind} is not signed with an SSH key.", fix="git tag -s, with gpg.format=ssh")
    if after or b"-----BEGIN" in payload or re.search(rb"[^A-Za-z0-9+/=\n]", body):
        raise ReleaseError(f"The {kind} holds something besides one signature at its end.")
    return payload + b"\n", begin[1:] + body + closed[:1] + END + b"\n"


def _ssh_keygen(*arguments: str, stdin: bytes) -> str | None:
    """Output of ssh-keygen; None where it refuses."""
    try:
        done = subprocess.run(["ssh-keygen", *arguments], input=stdin, capture_output=True, check=False)
    except FileNotFoundError:
        raise ReleaseError("`ssh-keygen` is missing.", fix="install OpenSSH, 8.9 or newer") from None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None
