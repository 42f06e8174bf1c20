"""Plain fine-tuning: AutoModelForSequenceClassification under transformers.Trainer, with its default arguments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.league.interface import Proba, Task


class Tuned:
    """The tuned model and its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any, max_tokens: int) -> None:
        self._model, self._tokenizer, self._max_tokens = model.eval(), tokenizer, max_tokens

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        """Probabilities, (n_texts, n_classes), in batches of 32 texts of similar length."""
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        found = np.empty((len(texts), self._model.config.num_labels))
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            inputs = self._tokenizer(
                [texts[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=self._max_tokens,
                return_tensors="pt",
            )
            with torch.inference_mode():
                found[rows] = self._model(**inputs).logits.softmax(-1).numpy()
        return found

    def save(self, folder: Path) -> None:
        """Model and tokenizer."""
        self._model.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)


def train(task: Task) -> Tuned:
    """Three epochs at 5e-5 in batches of 8: what TrainingArguments says when nobody says anything."""
    torch.set_num_threads(task.n_threads)
    tokenizer = transformers.AutoTokenizer.from_pretrained(task.backbone, local_files_only=True)
    torch.manual_seed(task.seed)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        task.backbone, local_files_only=True, num_labels=task.n_classes
    )
    encoded = tokenizer(task.texts, truncation=True, max_length=task.max_tokens)["input_ids"]
    rows = [{"input_ids": ids, "labels": target} for ids, target in zip(encoded, task.targets, strict=True)]
    arguments = transformers.TrainingArguments(
        output_dir=str(task.scratch),
        seed=task.seed,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
        logging_strategy="no",
        dataloader_pin_memory=False,
    )
    transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
    ).train()
    return Tuned(model, tokenizer, task.max_tokens)
