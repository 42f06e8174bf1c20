"""Gates, the choice among bundles, the model card and the report."""
