"""Data: rows of many shapes to prompts and answers as tokens, in one global order, laid out on canvases."""

from unmask.data.collate import Collator
from unmask.data.rows import Encoded, Record
from unmask.data.stream import OrderedExamples, Sampler, Shuffled

__all__ = ["Collator", "Encoded", "OrderedExamples", "Record", "Sampler", "Shuffled"]
