"""Recipes of training side by side on draws of labels: with few labels, and each technique alone and removed."""
