"""Scoring of tables of any size: rows of a source in, shards of probabilities out."""
