"""Views: what the model reads of a state."""
