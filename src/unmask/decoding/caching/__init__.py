"""Caches: what of the text is read again, and what is remembered."""
