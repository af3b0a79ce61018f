"""Revisions: which written tokens of the active block are taken back or replaced, and the selections beside them."""
