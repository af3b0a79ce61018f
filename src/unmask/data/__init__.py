"""Data: rows of many shapes to prompts and answers as tokens, in one global order, laid out on canvases."""

from unmask.data.collate import Collator
from unmask.data.encode import EncodedData, encode
from unmask.data.formats import read
from unmask.data.preview import preview
from unmask.data.report import Report
from unmask.data.rows import BadRow, Encoded, Message, Record
from unmask.data.stream import OrderedExamples, Sampler, Shuffled
from unmask.data.tokens import end_of_turn, prompt_ids

__all__ = [
    "BadRow",
    "Collator",
    "Encoded",
    "EncodedData",
    "Message",
    "OrderedExamples",
    "Record",
    "Report",
    "Sampler",
    "Shuffled",
    "encode",
    "end_of_turn",
    "preview",
    "prompt_ids",
    "read",
]
