"""The flow that judges production windows."""
