"""Online experiments: assignment of randomization units to their arms.

A unit (a request, a user, a session: whatever the caller names) always gets the same arm of the same experiment, with
no table to look up: its arm is a keyed hash. Raising the challenger's share moves units from the champion to the
challenger and none back. In shadow mode the champion answers everyone, and the challenger is asked beside it, unseen.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, Self

import pydantic
from pydantic import Field

from ratchet.errors import ParamsError
from ratchet.files import write_json
from ratchet.params import Params

Arm = Literal["champion", "challenger"]
Mode = Literal["off", "shadow", "split"]
N_BYTES = 8
N_BUCKETS = 1 << 8 * N_BYTES
UNIT_MARK = "#"


class Experiment(Params):
    """An experiment as the server reads it: a small JSON file that the rollout writes."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    """Name of the experiment, the same for all its steps."""
    step: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    """The rollout step: separates answers of a step from those of the step before, which had another share."""
    mode: Mode
    """off: there is none · shadow: the challenger is asked and not shown · split: it answers its share."""
    share: float = Field(ge=0.0, le=0.95)
    """Of units that the challenger answers; 0 unless the mode is split. Some must stay with the champion."""
    salt: str = Field(min_length=8, max_length=64, pattern=r"^[ -~]+$")
    """Key of the hash. Another salt is another, independent assignment."""
    bundle: str
    """The challenger's folder; empty when the mode is off."""
    manifest_sha256: str = Field(pattern=r"^([0-9a-f]{64})?$")
    """Hash of the challenger's manifest, which pins every file of it; empty when the mode is off."""

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.mode == "split") != (self.share > 0.0):
            raise ValueError("the share must be above 0 in mode split, and 0 in any other")
        if (self.mode == "off") != (self.bundle == "") or (self.bundle == "") != (self.manifest_sha256 == ""):
            raise ValueError("a bundle and the hash of its manifest must be named, unless the mode is off")
        return self

    @property
    def tag(self) -> str:
        """Name and step, which identify a step's answers in the log."""
        return f"{self.name}:{self.step}"

    def logged(self, unit_id: str) -> str:
        """Value of the prediction log's column `experiment`: the tag and the unit; empty without an experiment.

        The unit is a keyed hash, so that answers to one can be told from those to another, and nobody is named.
        """
        return "" if self.mode == "off" else f"{self.tag}{UNIT_MARK}{_digest(unit_id, self).hex()}"


OFF = Experiment(name="none", step="none", mode="off", share=0.0, salt="no experiment", bundle="", manifest_sha256="")
"""No experiment: the champion answers everyone."""


def assign(unit_id: str, experiment: Experiment) -> Arm:
    """The arm that answers a unit: always the same for the same unit, experiment and salt, however high the share.

    A unit's place in [0, 1) is a hash of its id, keyed by the salt and the experiment's name; the challenger answers
    those below its share. Places are uniform, and independent between salts and between experiments.

    Source: Kohavi, Tang & Xu 2020, Trustworthy Online Controlled Experiments, chapter 12 (hashing with a salt);
    RFC 7693 (BLAKE2, keyed).

    >>> split = OFF.model_copy(update={"mode": "split", "share": 0.5})
    >>> [assign(unit, split) for unit in ("ann", "cleo", "ann")]
    ['champion', 'challenger', 'champion']
    >>> assign("cleo", OFF)
    'champion'
    """
    return (
        "challenger"
        if experiment.mode == "split" and unit_fraction(unit_id, experiment) < experiment.share
        else "champion"
    )


def unit_fraction(unit_id: str, experiment: Experiment) -> float:
    """Hash of a unit as a fraction in [0, 1), the same for as long as name and salt are."""
    return (int.from_bytes(_digest(unit_id, experiment), "big") >> 11) / (
        N_BUCKETS >> 11
    )  # 53 bits: exact in a float, and never 1


def _digest(unit_id: str, experiment: Experiment) -> bytes:
    named = f"{experiment.name}\0{unit_id}".encode()
    return hashlib.blake2b(named, digest_size=N_BYTES, key=experiment.salt.encode()).digest()


def read_experiment(path: Path) -> Experiment:
    """The experiment that runs; `OFF` where there is no file.

    Raises:
        ParamsError: the file is no experiment. A server that has one keeps it.
    """
    try:
        return parse_experiment(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        return OFF
    except UnicodeDecodeError:
        raise ParamsError("The file holds no experiment.", where=path, fix="run the rollout again") from None


def parse_experiment(text: str, where: object) -> Experiment:
    """The experiment that a text says.

    Raises:
        ParamsError: it says none.
    """
    try:
        return Experiment.model_validate_json(text)
    except pydantic.ValidationError as error:
        raise ParamsError(
            "The file holds no experiment.", where=where, got=str(error).splitlines()[-1], fix="run the rollout again"
        ) from None


def write_experiment(path: Path, experiment: Experiment) -> None:
    """Write the experiment for the server, atomically."""
    write_json(path, experiment.model_dump())
