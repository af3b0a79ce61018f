"""Pictures: the terminal view of a denoising, and figures on disk."""
