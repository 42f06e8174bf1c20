"""Promotion: gates, ranking of candidates, the reports they are judged by, compositions."""
