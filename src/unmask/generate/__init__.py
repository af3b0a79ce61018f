"""Decoding of prompts: ``generate`` returns answers as text, ``stream`` yields steps, ``infill`` fills blanks."""

from unmask.generate.api import generate, resolve_decoder, run, stream
from unmask.generate.files import Answering, FileReport, generate_file
from unmask.generate.infill import Infilling, infill
from unmask.generate.prompts import Prompt, prepare
from unmask.generate.text import Generation, answer_text, canvases, decode_text

__all__ = [
    "Answering",
    "FileReport",
    "Generation",
    "Infilling",
    "Prompt",
    "answer_text",
    "canvases",
    "decode_text",
    "generate",
    "generate_file",
    "infill",
    "resolve_decoder",
    "prepare",
    "run",
    "stream",
]
