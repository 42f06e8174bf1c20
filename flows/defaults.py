"""Defaults of the flows' parameters, apart from the flows: the command line shows them without importing Prefect."""

from __future__ import annotations

MAX_WORKERS = 2
"""Stages that run side by side."""
N_OPEN = 100
"""Texts that wait for answers in the queue."""
N_ANNOTATORS = 2
"""People who are asked about each text."""
MIN_AGREEMENT = 0.6
"""Share of them who must agree before a label is decided."""
MAX_POOL = 20_000
"""Unlabelled texts that are scored."""
MIN_ANSWERED = 0.8
"""Share of the texts asked about that must be decided before a retraining."""
MAX_WAIT_DAYS = 14.0
"""Days after which a label request ends with what there is."""
