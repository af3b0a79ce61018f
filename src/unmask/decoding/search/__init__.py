"""Search: decoding a prompt in several rows."""
