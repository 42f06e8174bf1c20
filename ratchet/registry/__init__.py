"""Releases in Git: versions and roles as signed tags, who may do what, what was done."""
