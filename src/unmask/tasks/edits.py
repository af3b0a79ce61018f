"""Edit a word step by step, written out: the order of the commands matters."""

import random
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from unmask.config.components import component
from unmask.tasks.base import TASKS, Chat, Problem, draw


@TASKS.register("edits")
@component
class Edits:
    """A word and commands that change it one after another.

    ``abcde:r,d2,s13=`` is answered by ``edcba|ecba|bcea``: reverse, delete the second letter, swap the first and the
    third. ``t2`` writes the second letter twice. Only the last word counts.

    Args:
        length: count of letters of the first word.
        commands: count of commands.
        letters: how many letters of the alphabet are used.
    """

    length: Annotated[int, Field(ge=4, le=8)] = 6
    commands: Annotated[int, Field(ge=1, le=6)] = 4
    letters: Annotated[int, Field(ge=2, le=26)] = 10
    chat: Chat = False
    default_problems: ClassVar[int | None] = 400

    @model_validator(mode="after")
    def _long_enough(self) -> "Edits":
        if self.length - self.commands < 2 or self.length + self.commands > 9 + 3:
            raise ValueError(f"expected length at least commands + 2 = {self.commands + 2}, found {self.length}")
        return self

    def problems(self, split: str, size: int | None, seed: int = 0) -> list[Problem]:
        """Return ``size`` different problems of a split (None: 1000), drawn from ``seed``."""
        rng = random.Random(f"{split}/{seed}")

        def make() -> tuple[str, Problem]:
            word = "".join(chr(ord("a") + rng.randrange(self.letters)) for _ in range(self.length))
            problem = make_problem(word, _commands(word, self.commands, rng))
            return problem.prompt, problem

        return draw(make, split=split, size=size or 1000, remedy="ask for fewer, or raise length of the task")

    def is_right(self, text: str, problem: Problem) -> bool:
        """Return whether the text after the last bar is the final word."""
        return text.strip().rpartition("|")[2] == problem.answer


def _commands(word: str, count: int, rng: random.Random) -> list[str]:
    found: list[str] = []
    for _ in range(count):
        most = min(len(word), 9)  # the position of a letter is one digit
        first, second = sorted(rng.sample(range(1, most + 1), 2))
        command = rng.choice(["r", f"d{first}", f"s{first}{second}", f"t{first}"])
        found.append(command)
        word = edit(word, command)
    return found


def edit(word: str, command: str) -> str:
    """Return a word after one command; letters are counted from 1.

    >>> edit("abcde", "r"), edit("abcde", "d2"), edit("abcde", "s13"), edit("abcde", "t2")
    ('edcba', 'acde', 'cbade', 'abbcde')
    """
    kind, places = command[0], [int(digit) - 1 for digit in command[1:]]
    if kind == "r":
        return word[::-1]
    first = places[0]
    if kind == "d":
        return word[:first] + word[first + 1 :]
    if kind == "t":
        return word[: first + 1] + word[first:]
    letters = list(word)
    letters[first], letters[places[1]] = letters[places[1]], letters[first]
    return "".join(letters)


def make_problem(word: str, commands: list[str]) -> Problem:
    """Return the problem of applying these commands to a word, its solution written out.

    >>> make_problem("abcde", ["r", "d2", "s13"]).solution
    'edcba|ecba|bcea'
    """
    lines, prompt = [], f"{word}:{','.join(commands)}="
    for command in commands:
        word = edit(word, command)
        lines.append(word)
    return Problem(prompt=prompt, solution="|".join(lines), answer=word, source=f"edits:{prompt}")
