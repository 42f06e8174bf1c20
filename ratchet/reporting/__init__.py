"""Pages and tables for people: the report, the model card, the review of a change."""
