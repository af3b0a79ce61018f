"""Text in, text out, or a stream of steps: decoding for people who have strings."""

from unmask.generate.answers import Generation, answer_text, canvases, decode_text
from unmask.generate.api import generate, stream
from unmask.generate.blanks import Infilling, infill
from unmask.generate.prompts import Prompt, prepare
from unmask.generate.runs import parts_of, run

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
