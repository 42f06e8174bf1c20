"""The same bundle behind LitServe, run by the Python of LitServe's own environment: bundle, port, workers, batch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import litserve

from ratchet.engines.loading import load


class Api(litserve.LitAPI):  # type: ignore[misc]
    """Scores batches of texts."""

    def setup(self, device: str) -> None:
        """Load the bundle, a copy in each worker."""
        self.predictor = load(Path(sys.argv[1]), n_threads=1, batch_size=8)

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # a type would make it a query parameter
        """The text."""
        return str(request["text"])

    def batch(self, inputs: list[str]) -> list[str]:
        """Texts as they are."""
        return inputs

    def predict(self, inputs: Any) -> Any:
        """Probabilities of a batch, or of a text where there are no batches."""
        return self.predictor.predict_proba(inputs if isinstance(inputs, list) else [inputs]).tolist()

    def unbatch(self, output: Any) -> Any:
        """A row each."""
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        """As Ratchet answers, without a request id."""
        row = output[0] if isinstance(output[0], list) else output
        best = max(range(len(row)), key=row.__getitem__)
        return {
            "label": self.predictor.labels[best],
            "confidence": row[best],
            "proba": dict(zip(self.predictor.labels, row, strict=True)),
        }


if __name__ == "__main__":
    _, _, port, n_workers, max_batch = sys.argv
    api = Api(max_batch_size=int(max_batch), batch_timeout=0.002 if int(max_batch) > 1 else 0.0)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=int(n_workers))
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, log_level="warning")
