"""Simulated users of the demo: requests to the server, with corrections as feedback."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class Client:
    """Client of the server that sends requests and each user's correction."""

    def __init__(self, url: str, secret: str) -> None:
        import httpx

        limits = httpx.Limits(max_connections=8)
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {secret}"}, timeout=60, limits=limits
        )

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def ask(self, texts: pd.DataFrame, *, feedback: bool = False) -> float:
        """Ask about each text on its own; the share that was answered right."""

        def one(row: Any) -> bool:
            response = self._http.post("/v1/predict", json={"text": row.text, "unit": row.id}).raise_for_status().json()
            answer = response["predictions"][0]
            if feedback:
                correction = {"request_id": answer["request_id"], "kind": "correction", "label": row.label}
                self._http.post("/v1/feedback", json=correction).raise_for_status()
            return bool(answer["label"] == row.label)

        with ThreadPoolExecutor(4) as threads:
            right = list(threads.map(one, texts.itertuples(index=False)))
        return sum(right) / len(right)

    def model(self) -> dict[str, Any]:
        """Served model, challenger and experiment."""
        response = self._http.get("/v1/model").raise_for_status().json()
        return {
            "model": response["version"],
            "challenger": response["challenger"],
            "experiment": response["experiment"]["mode"],
        }

    def reload(self) -> None:
        """Have the server look at once, as it does by itself a moment later."""
        self._http.post("/v1/admin/reload").raise_for_status()
