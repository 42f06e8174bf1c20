"""Benchmarks of cost and quality beyond the pipeline's own reports, run on demand by `make bench-…`."""
