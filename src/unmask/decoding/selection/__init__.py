"""Selections: which open positions of the active block are written now."""
