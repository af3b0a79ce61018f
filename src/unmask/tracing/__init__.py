"""Traces of decodings: which token was written in which column, when, and with what probability."""
