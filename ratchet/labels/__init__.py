"""Query strategies and what labels are worth."""
