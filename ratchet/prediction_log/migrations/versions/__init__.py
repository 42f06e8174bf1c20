"""One file a change of the log's tables, each with its way back."""
