"""What can be known before anything runs: each module looks at one concern and reports every contradiction in it."""
