"""Bundles, backbones, batching, tuning and precision."""
