"""The flow that moves a challenger from shadow to all traffic, or back."""
