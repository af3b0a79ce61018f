"""Functions that judge the answers to python.jsonl: each is called with the answer and the question's row."""


def colours(answer, row):
    """Return the share of the wanted colours that the answer names; 1.0 is right."""
    named = {word.strip().lower() for word in answer.split(",")}
    return min(1.0, len(named & set(row["known"])) / row["wanted"])


def is_exactly(answer, row):
    """Return whether the answer names the colours that the row expects, in any order."""
    return sorted(answer.split(", ")) == sorted(row["answer"].split(", "))
