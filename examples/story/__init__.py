"""From drift to a new champion, on one machine."""
