"""User feedback: thumbs and corrections, joined to the answers by request id.

Most users say nothing, and those who do are not like those who do not. So there are two figures. *Complaints* are
counted over all requests: whoever says nothing has not complained, which is known of everybody and may be compared
between arms. *Approval* is that of those who answered, beside the least and the most it could be if all others had
answered the one way or the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ratchet.experiments.betting import lower_bound, upper_bound
from ratchet.measure.estimate import Estimate, undefined

LEVEL = 0.05


def approvals(log: pd.DataFrame, feedback: pd.DataFrame) -> NDArray[np.float64]:
    """For each answer of the log 1 where its user approved, 0 where they complained, NaN without feedback, (n,).

    A thumb up (`value` above 0) or a correction to what was answered approves; a thumb down or a correction to anything
    else complains. Of several, the latest counts; feedback on requests that are not in the log is left out.

    Args:
        log: answers, with `request_id` and `predicted`.
        feedback: with `request_id`, `timestamp`, `kind` (thumb or correction), `value` and `label`.
    """
    if feedback.empty:
        return np.full(len(log), np.nan)
    latest = feedback.sort_values("timestamp", kind="stable").drop_duplicates("request_id", keep="last")
    joined = log[["request_id", "predicted"]].merge(
        latest[["request_id", "kind", "value", "label"]], on="request_id", how="left", validate="many_to_one"
    )
    has_feedback = joined["kind"].notna().to_numpy()
    thumb = (joined["kind"] == "thumb").to_numpy()
    up = pd.to_numeric(joined["value"], errors="coerce").gt(0).to_numpy(dtype=bool)
    same = joined["label"].eq(joined["predicted"]).fillna(False).to_numpy(dtype=bool)
    return np.where(has_feedback, np.where(thumb, up, same).astype(np.float64), np.nan)


def true_labels(log: pd.DataFrame, feedback: pd.DataFrame) -> dict[str, str]:
    """Labels from users' feedback, by request id: a correction's label, or the prediction that got a thumb up.

    A thumb down alone names no label. Of several, the latest that names one counts.
    """
    shown = log[log["arm"] != "shadow"].drop_duplicates("request_id").set_index("request_id")["predicted"]
    ordered = feedback.sort_values("timestamp", kind="stable")
    approved = (ordered["kind"] == "thumb") & pd.to_numeric(ordered["value"], errors="coerce").gt(0)
    label = ordered["label"].where(ordered["kind"] == "correction")
    label = label.where(~approved, ordered["request_id"].map(shown))
    found = ordered.assign(label=label).dropna(subset="label").drop_duplicates("request_id", keep="last")
    return dict(zip(found["request_id"], found["label"], strict=True))


def satisfaction(approved: NDArray[np.float64]) -> dict[str, Any]:
    """Satisfaction figures of the users of some answers; all intervals are always-valid, of level 95 %.

    Args:
        approved: what `approvals` gives, (n,).
    """
    n, answered = len(approved), approved[~np.isnan(approved)]
    complaints = float((answered == 0).sum())
    happy = float((answered == 1).sum())
    return {
        "n_answers": n,
        "n_with_feedback": len(answered),
        "response_rate": rate(float(len(answered)), n).to_json(),
        "complaint_rate": rate(complaints, n).to_json(),
        "approval_of_those_who_answered": rate(happy, len(answered)).to_json(),
        "approval_if_all_others_complained": happy / n if n else None,
        "approval_if_all_others_approved": (n - complaints) / n if n else None,
    }


def rate(n_of: float, n: int) -> Estimate:
    """A rate with an interval that holds at all times at once; undefined without answers.

    >>> rate(0.0, 0).reason
    'there is nothing to count'
    >>> round(rate(10.0, 1000).high, 2)
    0.03
    """
    if n == 0:
        return undefined("there is nothing to count")
    values, counts = np.array([1.0, 0.0]), np.array([n_of, n - n_of])
    low, high = lower_bound(values, counts, LEVEL / 2), upper_bound(values, counts, LEVEL / 2)
    return Estimate(n_of / n, max(0.0, low), min(1.0, high), n)
