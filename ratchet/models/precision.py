"""Which arithmetic training uses: bf16 mixed where the hardware computes it natively, 32-bit elsewhere."""

from __future__ import annotations

from typing import Literal, NamedTuple

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]


class Choice(NamedTuple):
    """A Lightning precision and the reason for it."""

    precision: str
    reason: str


def choose_precision(asked: Precision) -> Choice:
    """The precision to train in, and why.

    Emulated bf16 is not merely useless: on a CPU without bf16 units a step took 14.5 times as long as in 32-bit.
    """
    if asked != "auto":
        return Choice(asked, "set in params.yaml")
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Choice("bf16-mixed", f"{name} computes bf16 natively")
        return Choice("32-true", f"{name} has no native bf16")
    if native_bf16_cpu():
        return Choice("bf16-mixed", "this CPU computes bf16 natively (AVX512-BF16 or AMX)")
    return Choice("32-true", "this CPU has neither AVX512-BF16 nor AMX: bf16 would be emulated, and slower")


def native_bf16_cpu() -> bool:
    """Whether the CPU has instructions for bf16 products."""
    import torch

    # torch offers no public query; of these private ones some exist in each release
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)
