"""One interface for every model: texts in, probabilities out. What follows training sees nothing else."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.models.adapters import load_adapters
from ratchet.models.batching import Tokens, encode, load_tokenizer, pad, sorted_batches
from ratchet.models.bundle import Manifest, read_manifest
from ratchet.models.narrow import classifier_class

Proba = NDArray[np.float64]


class Predictor(ABC):
    """A loaded bundle."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    @property
    def labels(self) -> list[str]:
        """Class names, in the order of the probability columns."""
        return self.manifest.labels

    @abstractmethod
    def predict_proba(self, texts: Sequence[str]) -> Proba:
        """Class probabilities, (n_texts, n_classes), rows summing to 1; no texts give (0, n_classes)."""


def load(path: Path, n_threads: int = 0, batch_size: int = 32) -> Predictor:
    """The bundle at `path`, verified, as a predictor.

    Args:
        path: the bundle's folder.
        n_threads: threads for its arithmetic; 0: as many as the machine has cores.
        batch_size: texts a forward pass scores at most.

    Raises:
        BundleError: see `read_manifest`.
    """
    manifest = read_manifest(path)
    if manifest.kind == "tfidf":
        return TfidfPredictor(manifest, path)
    engines: dict[str, Callable[..., Predictor]] = {
        "torch": TorchPredictor,
        "bitsandbytes": TorchPredictor,
        "onnx": OnnxPredictor,
    }
    return engines.get(manifest.kind, OpenVinoPredictor)(manifest, path, n_threads, batch_size)


class TfidfPredictor(Predictor):
    """TF-IDF with logistic regression, rebuilt from JSON and safetensors."""

    def __init__(self, manifest: Manifest, path: Path) -> None:
        super().__init__(manifest)
        from ratchet.models.tfidf import load_pipeline

        self._pipeline = load_pipeline(path)

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        if not texts:
            return np.zeros((0, len(self.labels)))
        proba: Proba = self._pipeline.predict_proba(list(texts))
        return proba


class TokenPredictor(Predictor):
    """What all transformer engines share: tokenising, sorting by length, padding, softmax."""

    def __init__(self, manifest: Manifest, path: Path, batch_size: int) -> None:
        super().__init__(manifest)
        self._batch_size = batch_size
        self._tokenizer = load_tokenizer(path, manifest.max_tokens)

    @property
    def tokenizer(self) -> Any:
        """The bundle's `tokenizers.Tokenizer`."""
        return self._tokenizer

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """Token ids of each text, as the model sees them."""
        return encode(self._tokenizer, texts)

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        if len(texts) == 1:
            return self._predict_one(texts[0])
        return self.predict_proba_tokens(self.encode(texts))

    def _predict_one(self, text: str) -> Proba:
        """As `predict_proba` of one text, without the work that pays only in batches."""
        ids = np.array([self._tokenizer.encode(text).ids], dtype=np.int64)
        return softmax(self._logits(ids, np.ones_like(ids)))

    def predict_proba_tokens(self, tokens: Sequence[Tokens]) -> Proba:
        """As `predict_proba`, from token ids."""
        proba = np.zeros((len(tokens), len(self.labels)))
        for batch in sorted_batches([len(item) for item in tokens], self._batch_size):
            proba[batch] = softmax(self._logits(*pad([tokens[index] for index in batch])))
        return proba

    @abstractmethod
    def _logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """(batch, tokens) twice → (batch, n_classes)."""


class TorchPredictor(TokenPredictor):
    """Eager PyTorch, for full-precision and bitsandbytes weights; on a GPU where there is one."""

    def __init__(self, manifest: Manifest, path: Path, n_threads: int, batch_size: int) -> None:
        super().__init__(manifest, path, batch_size)
        import torch

        if n_threads:
            torch.set_num_threads(n_threads)
        # bitsandbytes repeats for every layer and batch that it computes in 16 bits
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        self._torch = torch
        device = "cuda" if torch.cuda.is_available() else "cpu"
        options: dict[str, Any] = {"device_map": device} if manifest.kind == "bitsandbytes" else {}
        self._model = (
            classifier_class(path).from_pretrained(path, local_files_only=True, use_safetensors=True, **options).eval()
        )
        if manifest.kind == "torch":
            load_adapters(self._model, path)
            self._model.eval().to(device)

    @property
    def model(self) -> Any:
        """The classifier itself, for methods that look inside: gradients, hidden states."""
        return self._model

    def _logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        torch, device = self._torch, self._model.device
        with torch.inference_mode():
            output = self._model(
                input_ids=torch.from_numpy(ids).to(device), attention_mask=torch.from_numpy(mask).to(device)
            )
        logits: NDArray[np.float32] = output.logits.float().cpu().numpy()
        return logits


class OnnxPredictor(TokenPredictor):
    """ONNX Runtime on the CPU. Its threads spin for 50 µs between operators, then sleep."""

    SPIN_US = 50
    """Microseconds that a waiting thread keeps its core: waking it would take as long as many an operator, and a longer
    wait would take the core from others."""

    def __init__(self, manifest: Manifest, path: Path, n_threads: int, batch_size: int, spin_us: int = SPIN_US) -> None:
        super().__init__(manifest, path, batch_size)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin_us > 0)))
        if spin_us:
            options.add_session_config_entry("session.intra_op.spin_duration_us", str(spin_us))
            options.add_session_config_entry("session.force_spinning_stop", "1")  # none after the text is scored
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def _logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self._session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]
        return logits


class OpenVinoPredictor(TokenPredictor):
    """OpenVINO on the CPU, tuned for the latency of one request at a time.

    What is not in integers is computed in 32 bits: on a CPU with bf16 units OpenVINO would take 16 by itself, and the
    bundle that was measured on one machine would be another one on the next.
    """

    def __init__(self, manifest: Manifest, path: Path, n_threads: int, batch_size: int) -> None:
        super().__init__(manifest, path, batch_size)
        import openvino

        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if n_threads:
            config["INFERENCE_NUM_THREADS"] = n_threads
        core = openvino.Core()
        self._model = core.compile_model(str(path / "openvino_model.xml"), "CPU", config)
        self._inputs = {port.get_any_name() for port in self._model.inputs}

    def _logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        output = self._model({name: value for name, value in feed.items() if name in self._inputs})
        logits: NDArray[np.float32] = output["logits"]
        return logits


def softmax(logits: NDArray[Any]) -> Proba:
    """Probabilities of logits over the last axis, computed in float64 without overflow.

    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponent = np.exp(shifted)
    proba: Proba = exponent / exponent.sum(axis=-1, keepdims=True)
    return proba
