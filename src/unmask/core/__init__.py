"""What everything rests on: text laid out in rows, what a model reads, the seams, random numbers, normalisers."""
