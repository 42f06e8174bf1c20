"""Quality, latency, memory and cost, each with its uncertainty."""
