"""Text in, text out, or a stream of steps: decoding for people who have strings."""

from unmask.generate.api import generate, parts_of, run, stream
from unmask.generate.infill import Infilling, infill
from unmask.generate.prompts import Prompt, prepare
from unmask.generate.text import Generation, answer_text, canvases, decode_text

__all__ = [
    "Generation",
    "Infilling",
    "Prompt",
    "answer_text",
    "canvases",
    "decode_text",
    "generate",
    "infill",
    "parts_of",
    "prepare",
    "run",
    "stream",
]
