"""The HTTP server: routes, batching, authentication, metrics, swapping and rolling back models."""
