"""Recipes: read, checked, run."""
