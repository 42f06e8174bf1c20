"""Flows that fill people's labelling queue and pull their answers."""
