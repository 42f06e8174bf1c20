"""A container's root file system, by the lines of its Dockerfile, with debootstrap and chroot instead of Docker.

Only what our recipe uses is understood; another instruction is an error, so that the two cannot part.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MIRROR = "http://deb.debian.org/debian"
SUITES = {"debian:12": "bookworm", "debian:13": "trixie"}
CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")
TOLD = ("EXPOSE", "HEALTHCHECK", "SHELL")
"""Instructions that change no file: the shell is the one that is used here."""
UNSLIM = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache/apt", "var/lib/apt/lists")
"""What the slim images of Debian leave out."""


@dataclass
class Image:
    """What the last stage of a recipe makes."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0"
    command: list[str] = field(default_factory=list)

    def size_mb(self) -> float:
        """Its files by `du`, in megabytes (10^6 bytes)."""
        told = subprocess.run(["du", "-s", "-B1", self.root], check=True, capture_output=True, text=True).stdout
        return int(told.split()[0]) / 1e6

    def start(self, arguments: list[str], mounts: dict[Path, str], written: list[str]) -> subprocess.Popen[str]:
        """A program in it, as its user, its root read-only, folders of here at `mounts`, memory at `written`."""
        root = shlex.quote(str(self.root))
        lines = [f"mount --bind {root} {root}"]
        lines += [f"mount --bind {shlex.quote(str(source))} {root}{target}" for source, target in mounts.items()]
        lines += [f"mount -t tmpfs -o mode=1777 none {root}{target}" for target in written]
        lines += [f"mount -o remount,ro,bind {root} {root}"]
        environment = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.environment.items())
        program = f"cd {self.workdir} && exec env -i {environment} {shlex.join(arguments)}"
        lines += [f"exec chroot --userspec={self.user}:{self.user} {root} /bin/bash -c {shlex.quote(program)}"]
        command = ["unshare", "--mount", "--propagation", "private", "bash", "-ec", "\n".join(lines)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def build(recipe: Path, context: Path, folder: Path) -> Image:
    """The image of the recipe's last stage, its trees in the folder."""
    stages: dict[str, Image] = {}
    image = Image(Path())
    for instruction, rest in _instructions(recipe):
        words = shlex.split(rest) if instruction not in ("RUN", "CMD", *TOLD) else [rest]
        if instruction == "FROM":
            name = words[2] if len(words) == 3 else "last"
            image = stages[name] = Image(folder / name)
            subprocess.run(["cp", "-a", _base(words[0], folder), image.root], check=True)  # with its devices
        elif instruction == "RUN":
            _run(image, rest)
        elif instruction == "COPY":
            source = context
            if words[0].startswith("--from="):
                source = stages[words.pop(0).removeprefix("--from=")].root
            _copy([source / word.lstrip("/") for word in words[:-1]], image, words[-1])
        elif instruction == "WORKDIR":
            image.workdir = words[0]
            (image.root / words[0].lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif instruction == "ENV":
            image.environment |= dict(word.split("=", 1) for word in words)
        elif instruction == "USER":
            image.user = words[0]
        elif instruction == "CMD":
            image.command = [word.strip(' "') for word in rest.strip("[]").split(",")]
        elif instruction not in TOLD:
            raise AssertionError(f"an instruction that is not understood here: {instruction}")
    return image


def _instructions(recipe: Path) -> Iterator[tuple[str, str]]:
    lines = [line for line in recipe.read_text().splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            instruction, rest = line.split(maxsplit=1)
            yield instruction, rest


def _base(image: str, folder: Path) -> Path:
    """Debian's smallest system, slimmed as its slim images are."""
    name, _, variant = image.partition("-")
    assert variant == "slim", image
    tree = folder / image.replace(":", "-")
    if not tree.exists():
        suite = SUITES[name.partition(".")[0]]
        subprocess.run(["debootstrap", "--variant=minbase", suite, tree, MIRROR], check=True, capture_output=True)
        for part in UNSLIM:
            shutil.rmtree(tree / part, ignore_errors=True)
        for part in UNSLIM[-2:]:
            (tree / part / "partial").mkdir(parents=True)
    return tree


def _run(image: Image, line: str) -> None:
    """A line in the tree, which sees the network as this machine does, and keeps nothing of that."""
    lent = {Path("etc/resolv.conf"): Path("/etc/resolv.conf"), CERTIFICATES: "/" / CERTIFICATES}
    had = {inside: (image.root / inside).exists() for inside in lent}
    for inside, outside in lent.items():
        if not had[inside] and outside.exists():
            (image.root / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(outside, image.root / inside)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
    environment |= {name: value for name, value in os.environ.items() if name in ("PIP_CERT", "PIP_DEFAULT_TIMEOUT")}
    program = f"set -o pipefail; cd {image.workdir} && {line}"
    command = ["chroot", str(image.root), "/bin/bash", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    for inside, kept in had.items():
        if not kept:
            (image.root / inside).unlink(missing_ok=True)
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def _copy(sources: list[Path], image: Image, target: str) -> None:
    place = image.root / (Path(image.workdir) / target).relative_to("/")
    for source in sources:
        into = place if len(sources) == 1 and not target.endswith("/") and target != "./" else place / source.name
        into.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(source, into, symlinks=True, dirs_exist_ok=True, ignore=ignored)
        else:
            shutil.copyfile(source, into)
