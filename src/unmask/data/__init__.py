"""Data: reads rows of many shapes, encodes prompts and answers as tokens, orders them, and lays them out."""

from unmask.data.blend import Blend, BlendSampler
from unmask.data.collate import Collator, OrderedExamples, Sampler, Shuffled
from unmask.data.curriculum import CURRICULA, Curriculum, CurriculumSampler, difficulties, into_buckets
from unmask.data.encode import EncodedData, encode
from unmask.data.preview import preview
from unmask.data.read import read
from unmask.data.records import BadRow, Difficulty, Encoded, Message, Record
from unmask.data.report import Report
from unmask.data.tokens import end_of_turn, prompt_ids

__all__ = [
    "CURRICULA",
    "BadRow",
    "Collator",
    "Curriculum",
    "CurriculumSampler",
    "Difficulty",
    "Encoded",
    "EncodedData",
    "Message",
    "Blend",
    "BlendSampler",
    "OrderedExamples",
    "Record",
    "Report",
    "Sampler",
    "Shuffled",
    "difficulties",
    "encode",
    "end_of_turn",
    "into_buckets",
    "preview",
    "prompt_ids",
    "read",
]
