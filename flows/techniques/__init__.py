"""One technique at a time, measured beside what the last run made."""
