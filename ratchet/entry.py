"""Entry point of every step: quiet libraries, one clear message for a known error, exit code 1."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from ratchet.errors import RatchetError

QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GX_ANALYTICS_ENABLED": "False",
    "DVC_NO_ANALYTICS": "1",
    "DVCLIVE_LOGLEVEL": "ERROR",
    "TOKENIZERS_PARALLELISM": "false",
    "GOMP_SPINCOUNT": "0",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "OPENVINO_TELEMETRY_OPT_OUT": "1",
}
"""Set before any library is imported: no telemetry leaves the machine, and threads yield the core they wait on."""


def entry(main: Callable[[], None]) -> None:
    """Run a step; a RatchetError becomes its message on stderr and exit code 1, anything else a traceback."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        main()
    except RatchetError as error:
        print(f"\nerror: {error}", file=sys.stderr)
        sys.exit(1)
