"""Tests, and the contract between dvc.yaml, params.yaml and the code."""
