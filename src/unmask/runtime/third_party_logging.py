"""Switches off the progress bars and warnings of libraries."""

import logging
import os

LOUD = ("accelerate", "datasets", "huggingface_hub", "peft", "torch", "transformers")


def silence_libraries() -> None:
    """Switch off progress bars and warnings of other libraries; called by programs, never by the library itself."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import transformers  # reads the variables when it is imported

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
