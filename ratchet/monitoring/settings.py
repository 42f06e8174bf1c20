"""Monitoring settings, the block `monitor` of live.yaml: windows, error rates and alert thresholds."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ratchet.params import Params, load_params
from ratchet.task import LengthEdges

SETTINGS_FILE = Path("live.yaml")


class MonitorParams(Params):
    """Windows, error rates, and the bounds beyond which a window is called abnormal."""

    window_minutes: int = Field(ge=1, le=10_080)
    """A window ends after so long, if it fills the smallest of `window_sizes`; else it goes on."""
    window_rows: int = Field(ge=100)
    """A window ends after so many requests, however short it is."""
    window_sizes: list[int] = Field(min_length=1)
    """Requests that a drift test looks at: the largest of these that the window fills, drawn at random."""
    n_splits: int = Field(ge=200)
    """Random splits of the reference that thresholds are made from."""
    alpha: float = Field(gt=0, lt=0.2)
    """Share of windows without drift that are called drifted, over all statistics together."""
    max_fall: float = Field(gt=0, lt=1)
    """Fall of accuracy that counts as decay: of its estimate without labels, beyond the estimate's interval."""
    error_rise: float = Field(gt=0, lt=1)
    """Rise of the error rate that the test on late labels is made to find."""
    label_horizon: int = Field(ge=100)
    """Labels within which that test alarms falsely ..."""
    label_alpha: float = Field(gt=0, lt=0.2)
    """... with this probability."""
    max_latency_ms: float = Field(gt=0)
    """A slower answer counts as slow."""
    max_slow_rate: float = Field(gt=0, lt=1)
    """Share of slow answers."""
    max_error_rate: float = Field(gt=0, lt=1)
    """Share of answers with a status of 500 or more."""
    max_shed_rate: float = Field(gt=0, lt=1)
    """Share of requests that were refused as too many."""
    max_empty_rate: float = Field(gt=0, lt=1)
    """Share of texts without a word."""
    max_odd_rate: float = Field(gt=0, lt=1)
    """Share of texts that are hardly letters, or longer than `max_characters`."""
    max_characters: int = Field(ge=100)
    """Characters of a text that is not odd."""
    max_share_of_key: float = Field(gt=0, le=1)
    """Share of the requests of one API key, where there are several; 1: any."""
    max_share_of_text: float = Field(gt=0, le=1)
    """Share of the requests with one and the same text; 1: any."""
    exclude_keys: list[str]
    """API keys of health checks and load tests: their requests are counted, and looked at no further."""
    exclude_texts: list[str]
    """Texts of the same, whatever their case and white space."""
    repeat_share: float = Field(gt=0, le=1)
    """Share of a window from which one text is set aside from drift, slices and estimates, and named; 1: never."""
    rate_factor: float = Field(gt=1)
    """Requests a minute, as a multiple or a fraction of the median of earlier windows."""
    slices: list[str]
    """Features of `ratchet.trust.slices` whose slices are compared with the reference's."""
    attributes: list[str]
    """Attributes of data/lexicons/identity.yaml, compared likewise: the people whom a text speaks of; sensitive."""
    length_edges: LengthEdges
    slice_alpha: float = Field(gt=0, lt=0.2)
    """Probability that any slice without change is reported in a window."""
    min_slice_size: int = Field(ge=10)
    """Of a slice with fewer requests, or fewer texts in the reference, only the size is reported."""
    show_texts: bool
    """Whether history and page may hold the texts that are newest in a drift; false: their request ids alone."""
    runbook: str = Field(min_length=1)
    """Address of the page that says what to do, with a section for each kind of alert."""
    silent_minutes: int = Field(ge=1)
    """The monitor is called silent when it has not reported for so long."""
    n_to_label: int = Field(ge=1)
    """Texts that are sent to people when a drift is confirmed."""
    seed: int = Field(ge=0)
    """Of the random splits and samples."""


def read_monitor_params(root: Path) -> MonitorParams:
    """The block `monitor` of live.yaml, with the length edges that `split` measured.

    Raises:
        ParamsError: the block is missing or invalid.
    """
    from ratchet.trust.slices import LENGTH_EDGES, read_length_edges

    edges = read_length_edges(root / LENGTH_EDGES)
    return load_params(MonitorParams, "monitor", root / SETTINGS_FILE, length_edges=edges)
