"""Software bill of materials (SBOM) of a version: packages, data, model and card, as CycloneDX 1.6 JSON.

It is made from what the version binds alone, so that whoever verifies the version can make it again, byte for byte.

Source: CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/, `modelCard` of a `machine-learning-model` component.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+)\s*(?:#.*)?$", re.MULTILINE)
NAMESPACE = uuid.UUID("6f1d1c6e-6f0e-4f0b-9a53-0f1c1f7a2b11")
"""Of the serial numbers: a version has one, whoever makes the bill."""


def make_sbom(
    version: str, bundle: Mapping[str, Any], metrics: Mapping[str, Any], data: Mapping[str, str], constraints: str
) -> bytes:
    """The bill as JSON.

    Args:
        version: e.g. `tickets@v1.2.0`.
        bundle: the bundle's manifest.
        metrics: metric → estimate (`value`, `low`, `high`) of the bundle.
        data: path → MD5 of the data, as DVC records it.
        constraints: the pinned packages, `name==version` a line.
    """
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    artifact, _, number = version.partition("@v")
    model = Component(
        name=artifact,
        version=number,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=version,
        properties=[Property(name=f"ratchet:sha256:{file}", value=value) for file, value in bundle["files"].items()],
    )
    bom = Bom(serial_number=uuid.uuid5(NAMESPACE, version + json.dumps(bundle, sort_keys=True)))
    bom.metadata.timestamp = None  # type: ignore[assignment]  # the same version, the same bytes
    bom.metadata.tools.components.clear()
    bom.metadata.component = model
    for path, md5 in sorted(data.items()):
        hashes = [HashType(alg=HashAlgorithm.MD5, content=md5.removesuffix(".dir"))]
        bom.components.add(Component(name=path, type=ComponentType.DATA, bom_ref=f"data:{path}", hashes=hashes))
    packages = PINNED.findall(constraints)
    for name, pinned in packages:
        bom.components.add(
            Component(
                name=name,
                version=pinned,
                type=ComponentType.LIBRARY,
                bom_ref=f"pypi:{name}",
                purl=PackageURL("pypi", None, re.sub(r"[-_.]+", "-", name).lower(), pinned),
            )
        )
    bom.register_dependency(model, bom.components)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    document["metadata"].pop("timestamp", None)
    document["metadata"]["component"]["modelCard"] = _model_card(bundle, metrics, data)
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _model_card(bundle: Mapping[str, Any], metrics: Mapping[str, Any], data: Mapping[str, str]) -> dict[str, Any]:
    """The part of the card for programs; people read `model_card.md` beside it."""
    measured = []
    for name, estimate in sorted(metrics.items()):
        if estimate.get("value") is None:
            continue  # undefined: there is no figure to state
        metric: dict[str, Any] = {"type": name, "value": repr(estimate["value"])}
        if estimate.get("low") is not None and estimate.get("high") is not None:
            metric["confidenceInterval"] = {"lowerBound": repr(estimate["low"]), "upperBound": repr(estimate["high"])}
        measured.append(metric)
    return {
        "modelParameters": {
            "task": "text-classification",
            "architectureFamily": str(bundle["kind"]),
            "modelArchitecture": f"{bundle['name']}, {bundle['precision']}",
            "datasets": [{"ref": f"data:{path}"} for path in sorted(data)],
            "inputs": [{"format": "text"}],
            "outputs": [{"format": "probability of " + ", ".join(bundle["labels"])}],
        },
        "quantitativeAnalysis": {"performanceMetrics": measured},
    }
