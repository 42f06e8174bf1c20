"""The labelling view of the studio: one text, one key, on the queue that `ratchet labels` fills and empties."""
