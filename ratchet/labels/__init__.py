"""Query strategies, what labels are worth, and the people who give them."""
