"""Caches: what of the text is read again at a forward, and what is kept of earlier ones."""
