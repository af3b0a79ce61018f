"""Proposals: from logits to tokens."""
