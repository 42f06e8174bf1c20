"""Readers of raw texts: files, SQL, data sets; formats and rows."""
