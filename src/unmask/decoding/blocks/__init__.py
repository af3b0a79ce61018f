"""Block rules: which part of the canvas is in play."""
