"""Selections: which open places of the active block are written now."""
