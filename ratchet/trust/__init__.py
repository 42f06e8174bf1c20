"""Attributions, slices and fairness."""
