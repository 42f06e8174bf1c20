"""What a change did: metrics, params, verdicts, data and plots of two revisions, for whoever reviews it."""
