"""When, and what then: Prefect flows over the DVC graph."""
