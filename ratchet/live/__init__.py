"""What happens after promotion: serving, the log of predictions, drift, experiments."""
