"""What a sample of raw rows shows: roles of its columns, classes, languages, copies, columns that give labels away."""
