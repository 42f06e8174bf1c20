"""Data validation: measures, suites, Great Expectations, verdicts, quarantine."""
