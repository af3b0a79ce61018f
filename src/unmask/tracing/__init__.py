"""Traces of decodings: what was written where, when, and how sure the model was."""
