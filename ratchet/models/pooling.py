"""The sequence classifier of every encoder family: pooled last hidden states, normalised, under one linear layer.

A text's features are the mean of its last hidden states, or its first one where the backbone was pretrained so, divided
by their L2 norm and multiplied by `feature_norm`: the vectors a logistic regression on frozen sentence embeddings sees,
so that its weights can be the head that fine-tuning starts from.

Source: mean pooling as in Reimers & Gurevych 2019, Sentence-BERT, https://arxiv.org/abs/1908.10084.
"""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import MODEL_MAPPING, AutoConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput

from ratchet.errors import BundleError
from ratchet.files import read_json
from ratchet.models.narrow import KEPT, keep_heads

Pooling = Literal["mean", "first"]
FEATURE_NORM = 10.0
"""Norm of the features: logits of unit vectors would need weights, and steps, ten times as large."""
POOLING_CONFIG = "1_Pooling/config.json"
"""Where sentence-transformers says how a backbone was pretrained."""


class PooledClassifier(PreTrainedModel):  # type: ignore[misc]
    """What the classifiers of all families share; `pooled_class` makes one of them.

    The config's `pooling` and `feature_norm` say how a text's hidden states become its features, `num_labels` the width
    of the head. The encoder sits where the family's own models have it, without the family's pooler.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        encoder = MODEL_MAPPING[type(config)]
        takes_pooler = "add_pooling_layer" in inspect.signature(encoder).parameters
        setattr(self, self.base_model_prefix, encoder(config, **({"add_pooling_layer": False} if takes_pooler else {})))
        if hasattr(config, KEPT):
            for layer in self.base_model.encoder.layer:
                keep_heads(layer.attention, list(range(getattr(config, KEPT))))
        self.classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,  # named, as exporters look for it in the signature
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **options: Any,
    ) -> SequenceClassifierOutput:
        """Logits, (batch, n_classes); hidden states and attentions where `options` ask for them; a loss with labels.

        `options` go to the encoder: position_ids, output_hidden_states, output_attentions.
        """
        inputs = {"input_ids": input_ids, "token_type_ids": token_type_ids, "inputs_embeds": inputs_embeds}
        encoded = self._encoded(attention_mask=attention_mask, **inputs, **options)
        logits = self.classifier(self.pool(encoded.last_hidden_state, attention_mask))
        return SequenceClassifierOutput(
            loss=None if labels is None else F.cross_entropy(logits.float(), labels),
            logits=logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )

    def features(self, input_ids: Tensor, attention_mask: Tensor | None = None, **options: Any) -> Tensor:
        """What the head sees of each text, (batch, hidden), in 32-bit."""
        encoded = self._encoded(input_ids=input_ids, attention_mask=attention_mask, **options)
        return self.pool(encoded.last_hidden_state, attention_mask)

    def pool(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Features, (batch, hidden), of last hidden states, (batch, tokens, hidden), in 32-bit whatever these are in.

        A text whose mask, (batch, tokens), is empty has features of 0, and so the head's bias as its logits.
        """
        if mask is None:
            mask = torch.ones(hidden.shape[:2], device=hidden.device)
        if self.config.pooling == "first":
            hidden, mask = hidden[:, :1], mask[:, :1]
        # padding is cut out, not multiplied by 0, since it may be NaN; the norm divides by the number of tokens too
        total = hidden.float().masked_fill(mask.unsqueeze(-1) == 0, 0.0).sum(dim=1)
        return F.normalize(total, dim=-1) * float(self.config.feature_norm)

    def _encoded(self, **inputs: Any) -> BaseModelOutput:
        given = {name: value for name, value in inputs.items() if value is not None}  # not every family takes all
        output: BaseModelOutput = self.base_model(**{**given, "return_dict": True})
        return output

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by config and state, as spawned processes need it: the family's class has no importable name."""
        return _blank, (self.config,), self.__getstate__()


def pooled_class(config: Any) -> type[PooledClassifier]:
    """The classifier's class for the family of a config: BERT, RoBERTa, DeBERTa and whatever else AutoModel knows.

    Raises:
        KeyError: a family that AutoModel has no encoder for.
    """
    return _class_of(type(config))  # type: ignore[arg-type]


def load_pooled(folder: Path, **options: Any) -> Any:
    """The classifier that a bundle's folder holds, with `options` of Hugging Face's `from_pretrained`.

    Raises:
        BundleError: its config says no pooling, so it is none of these classifiers.
    """
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if not hasattr(config, "pooling"):
        raise BundleError(
            "The classifier's config does not say how it pools hidden states.",
            where=folder / "config.json",
            got=", ".join(config.architectures or ["no architecture"]),
            expected="pooling: mean, or pooling: first",
            fix="make the bundle again with this version",
        )
    return pooled_class(config).from_pretrained(
        folder, config=config, local_files_only=True, use_safetensors=True, **options
    )


def pooling_of(folder: Path) -> Pooling:
    """How the backbone in the folder was pretrained to pool; the mean where it does not say, or says a third way."""
    if not (folder / POOLING_CONFIG).is_file():
        return "mean"
    said = read_json(folder / POOLING_CONFIG)
    return "first" if said.get("pooling_mode_cls_token") or said.get("pooling_mode") == "cls" else "mean"


@functools.cache
def _class_of(config_class: type) -> type[PooledClassifier]:
    encoder = MODEL_MAPPING[config_class]
    family = encoder.__bases__[0]
    # transformers and Optimum read in the source of a class's module what it can do
    body = {"config_class": config_class, "__module__": family.__module__, "__doc__": PooledClassifier.__doc__}
    return type(encoder.__name__.removesuffix("Model") + "Pooled", (PooledClassifier, family), body)


def _blank(config: Any) -> PooledClassifier:
    """A classifier without weights, for the state that a pickle holds."""
    kind = pooled_class(config)
    return kind.__new__(kind)
