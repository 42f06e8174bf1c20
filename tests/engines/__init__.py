"""Tests of ratchet.engines."""
