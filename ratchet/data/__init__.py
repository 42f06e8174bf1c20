"""Sources, cleaning rules, near-duplicates and splits."""
