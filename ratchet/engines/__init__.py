"""Inference engines and model families: one module each, found by the kind that a bundle's manifest gives."""
