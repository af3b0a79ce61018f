"""Block rules: how the canvas is cut into blocks, and which of it is active."""
