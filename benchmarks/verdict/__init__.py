"""Decisions of choosing and judging again, on resampled measurements of a run."""
