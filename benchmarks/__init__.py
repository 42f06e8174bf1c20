"""What the methods cost and reach, beyond what the pipeline runs: measured on demand, by `make bench-…`."""
