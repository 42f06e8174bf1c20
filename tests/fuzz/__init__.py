"""Coverage-guided fuzzing of every loader of outside bytes."""
