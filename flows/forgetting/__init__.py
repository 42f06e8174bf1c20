"""Removal of a person's texts from everything that this workspace keeps."""
