"""Recipes: YAML files that describe a whole run; read, checked and run here."""
