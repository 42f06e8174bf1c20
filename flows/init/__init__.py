"""`ratchet init`: from a source of texts to a configured task."""
