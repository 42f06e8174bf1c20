"""The flow that retrains after drift or decay."""
