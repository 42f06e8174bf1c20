"""Evidence on a challenger from the prediction log, in shadow mode or in a split, as testable differences.

In shadow mode each request has two rows, the champion's answer and the challenger's (arm `shadow`), and a difference is
known for each. In a split each unit has one, drawn at random, and only means can be compared. Either way there are the
same three measures: whether answers are good (right in shadow mode, not complained of in a split), whether they failed,
and whether they were slow; in a split, where users see both, also whether they complained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ratchet.experiments.assignment import UNIT_MARK
from ratchet.experiments.satisfaction import approvals, satisfaction
from ratchet.experiments.sequential_tests import Outcomes, Pairs, arms_difference, paired_difference
from ratchet.measure.estimate import Estimate

Measure = Literal["good", "failed", "slow", "complained"]
Mask = NDArray[np.bool_]
FAILED_STATUS = 500
SHED_STATUS = 429
"""Load shedding: the server was full and asked no model, so such rows are left out."""


@dataclass(frozen=True)
class ShadowEvidence:
    """Both models on the same requests, in the order of time."""

    frame: pd.DataFrame
    """`text` and any column of groups, and for each measure challenger minus champion: 1, 0, −1, or NaN: unknown."""

    def difference(self, measure: Measure, alpha: float, mask: Mask | None = None) -> Estimate:
        """Challenger minus champion, of the masked rows, with an always-valid interval; see `paired_difference`."""
        seen = self.frame[measure].to_numpy(dtype=np.float64)
        seen = seen if mask is None else seen[mask]
        counts = [int((seen == value).sum()) for value in (1.0, -1.0)]
        return paired_difference(Pairs(len(seen), counts[0], counts[1], int(np.isnan(seen).sum())), alpha)

    def satisfaction(self) -> dict[str, Any]:
        """Empty: users saw the champion's answers alone, so there is nothing to compare."""
        return {}


@dataclass(frozen=True)
class SplitEvidence:
    """Each unit by one of the models, in the order of time."""

    frame: pd.DataFrame
    """`text` and any column of groups, `challenger` (who answered), each measure, in [0, 1], and `approved`, see
    `approvals`."""
    share: float
    """The challenger's."""

    def difference(self, measure: Measure, alpha: float, mask: Mask | None = None) -> Estimate:
        """Challenger minus champion, of the masked rows, with an always-valid interval; see `arms_difference`."""
        rows = self.frame if mask is None else self.frame[mask]
        values = rows[measure].to_numpy(dtype=np.float64)
        return arms_difference(Outcomes(rows["challenger"].to_numpy(dtype=bool), values, self.share), alpha)

    def satisfaction(self) -> dict[str, Any]:
        """Arm → what is known of its users, see `satisfaction.satisfaction`."""
        approved, challenged = (self.frame[name].to_numpy() for name in ("approved", "challenger"))
        arms = {"champion": ~challenged.astype(bool), "challenger": challenged.astype(bool)}
        return {arm: satisfaction(approved[mask].astype(np.float64)) for arm, mask in arms.items()}


Evidence = ShadowEvidence | SplitEvidence


def shadow_evidence(log: pd.DataFrame, labels: Mapping[str, str], slow_ms: float) -> ShadowEvidence:
    """The evidence of shadow mode.

    Up to the last disagreement that somebody judged: later ones may still be in the annotators' hands, and bounds that
    hold at all times hold at that one. Models that agree do not differ, whatever is right; a challenger that failed
    to answer counts as wrong where the champion answered.

    Args:
        log: rows of one experiment's shadow step.
        labels: what is right, by request id.
        slow_ms: from which latency an answer is slow.
    """
    both = _both(log)
    right = both["request_id"].map(dict(labels))
    failed = both["status"].ge(FAILED_STATUS), both["status_shadow"].ge(FAILED_STATUS)
    disagree = _disagree(both)
    gained = (both["predicted_shadow"].eq(right) & ~failed[1]).astype(float) - both["predicted"].eq(right).astype(float)
    good = gained.where(disagree, 0.0).where(~disagree | right.notna()).mask(failed[1] & ~failed[0], -1.0)
    judged = np.flatnonzero((disagree & good.notna()).to_numpy())
    slow = both["latency_ms"].gt(slow_ms).astype(float), both["latency_ms_shadow"].gt(slow_ms).astype(float)
    frame = both.assign(good=good, failed=failed[1].astype(float) - failed[0].astype(float), slow=slow[1] - slow[0])
    waiting = bool(good.isna().any())
    return ShadowEvidence(frame.iloc[: judged[-1] + 1 if len(judged) else 0] if waiting else frame)


def split_evidence(
    log: pd.DataFrame, feedback: pd.DataFrame, share: float, slow_ms: float, delay_s: float
) -> SplitEvidence:
    """The evidence of a split: the first answer that each unit got, once its user has had time for feedback.

    The first one only, as answers to one unit are alike and must not count as many. Units stand in the column
    `experiment`, see `Experiment.logged`; where it names none, each request is one. A request whose challenger failed
    and that the champion then answered is the challenger's.

    Args:
        log: rows of one experiment's step.
        feedback: thumbs and corrections of users.
        share: the challenger's.
        slow_ms: from which latency an answer is slow.
        delay_s: how long users have to complain; younger rows than that before the log's last are not looked at yet.
    """
    rows = log[log["arm"].isin(["champion", "challenger"]) & (log["status"] != SHED_STATUS)]
    given = rows["request_id"].isin(rows.loc[rows["arm"] == "challenger", "request_id"])
    rows = rows[(rows["arm"] == "challenger") | ~given]
    logged_units = zip(rows["experiment"], rows["request_id"], strict=True)
    units = [logged.partition(UNIT_MARK)[2] or request for logged, request in logged_units]
    rows = rows.assign(text=rows["text"].fillna(""), unit_id=pd.Series(units, rows.index, dtype=object))
    rows = rows.sort_values(["timestamp", "request_id"], kind="stable", ignore_index=True)
    if len(rows):
        rows = rows[rows["timestamp"] <= rows["timestamp"].max() - pd.Timedelta(seconds=delay_s)]
    rows = rows.drop_duplicates("unit_id", ignore_index=True)
    failed = rows["status"].ge(FAILED_STATUS)
    approved = approvals(rows, feedback)
    frame = rows.assign(
        challenger=rows["arm"] == "challenger",
        good=((approved != 0.0) & ~failed).astype(float),
        failed=failed.astype(float),
        slow=rows["latency_ms"].gt(slow_ms).astype(float),
        complained=(approved == 0.0).astype(float),
        approved=approved,
    )
    return SplitEvidence(frame, share)


def unlabeled_disagreements(log: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Unlabelled requests of shadow mode on which the models disagree, the earliest first.

    The earliest first, as evidence is looked at up to the last one that was judged.

    Args:
        log: rows of one experiment's shadow step.
        labels: what is right, by request id.
    """
    both = _both(log)
    open_ = _disagree(both) & ~both["request_id"].isin(labels) & (both["text"] != "")
    return both.loc[open_, ["request_id", "text"]].drop_duplicates("text", ignore_index=True)


def _both(log: pd.DataFrame) -> pd.DataFrame:
    """A row a request that both models were asked, in the order of time: the challenger's columns end in `_shadow`."""
    asked = log[log["status"] != SHED_STATUS].assign(text=log["text"].fillna(""))
    champion = asked[asked["arm"] == "champion"].drop_duplicates("request_id")
    challenger = asked[asked["arm"] == "shadow"].drop_duplicates("request_id")
    kept = ["request_id", "predicted", "status", "latency_ms"]
    both = champion.merge(challenger[kept], on="request_id", suffixes=("", "_shadow"), validate="one_to_one")
    return both.sort_values(["timestamp", "request_id"], kind="stable", ignore_index=True)


def _disagree(both: pd.DataFrame) -> pd.Series[bool]:
    return both["predicted"].ne(both["predicted_shadow"]) | both["status_shadow"].ge(FAILED_STATUS)
