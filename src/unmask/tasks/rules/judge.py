"""The rule ``judge``: a language model behind an address decides whether the answer is right."""

import hashlib
import json
import os
import re
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from unmask.config.components import component
from unmask.errors import UserError, shorten
from unmask.tasks.base import Problem
from unmask.tasks.rules.base import ANSWER_RULES, AnswerRule
from unmask.tasks.rules.completions import ChatModel
from unmask.tasks.thinking import without_thinking

QUESTION = """You judge an answer to a question.

Question:
{question}

Expected answer:
{expected}

Answer to judge:
{answer}

Is the answer right? It is right if it says the same as the expected answer, in whatever words."""
VERDICT = "End your reply with one line, either VERDICT: RIGHT or VERDICT: WRONG."
_VERDICT = re.compile(r"VERDICT\W{1,6}(RIGHT|WRONG)\b", re.IGNORECASE)
_FIELDS = re.compile(r"\{(question|expected|answer)\}")
_ASKED = 2
"""How often a judge that gives no verdict is asked."""


@ANSWER_RULES.register("judge")
@component
class JudgeRule(AnswerRule):
    """A language model decides: it reads question, expected answer and answer, and replies right or wrong.

    The model is one behind an address of OpenAI's shape (vLLM, SGLang, llama.cpp, ollama, OpenAI), asked at temperature
    0. An empty answer is wrong without asking. Where a reply has no verdict, it is asked once more; if there is none
    again, the answer counts as wrong, and the share of answers that were judged is shown as ``judged``. Verdicts are
    kept in a file, so that the same answer is never paid for twice. The key is read from the environment and written
    nowhere.

    Args:
        url: address up to ``/chat/completions``, such as ``http://localhost:8000/v1``.
        model: name of the model there.
        key_env: name of the environment variable that holds the key; None: no key is sent.
        question: what the judge is asked, with ``{question}``, ``{expected}`` and ``{answer}`` in it; the form of the
            verdict is asked for below it.
        body: further fields of the request, such as ``{max_tokens: 512}``; ``{temperature: null}`` takes one out.
        seconds: longest wait for a reply.
        tries: requests before a judge that does not answer ends the run.
        pause: seconds before the second try; each further pause is twice as long.
        cache: file of the verdicts; None: one in ``~/.cache/unmask/verdicts``, or in ``$XDG_CACHE_HOME``.

    Source: unpublished
    """

    url: str
    model: str
    key_env: str | None = None
    question: str = QUESTION
    body: dict[str, Any] = Field(default_factory=dict)
    seconds: Annotated[float, Field(gt=0)] = 60.0
    tries: Annotated[int, Field(ge=1)] = 5
    pause: Annotated[float, Field(ge=0)] = 1.0
    cache: str | None = None

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise UserError(f"url: expected http://… or https://…, found '{shorten(self.url, 80)}'")
        if "{answer}" not in self.question:
            raise UserError("question: expected {answer}, where the answer to judge is put, found none; write it")

    @property
    def needs_expected(self) -> bool:
        """Whether the judge is shown an expected answer."""
        return "{expected}" in self.question

    def connect(self) -> None:
        """Check that the judge answers; a ``UserError`` is raised where it does not answer, or its key is not there."""
        if not self._answered:
            self._model.reply("Reply with the word ready.", tries=1)
            self._answered.append(True)

    def grade(self, text: str, problem: Problem) -> float:
        """Return 1.0 if the judge finds the answer right, else 0.0."""
        return float(self._verdict(text, problem) or False)

    def grades(self, text: str, problem: Problem) -> dict[str, float]:
        """Return ``judged``: 1.0 unless the judge gave no verdict."""
        return {"judged": float(self._verdict(text, problem) is not None)}

    @cached_property
    def _answered(self) -> list[bool]:
        return []

    @cached_property
    def _model(self) -> ChatModel:
        key = os.environ.get(self.key_env) if self.key_env else None
        if self.key_env and not key:
            raise UserError(f"key_env: expected a key in the environment variable {self.key_env}, found none; set it")
        return ChatModel(
            url=self.url, model=self.model, key=key, key_name=self.key_env, body=self.body, seconds=self.seconds,
            tries=self.tries, pause=self.pause,
        )  # fmt: skip

    def _verdict(self, text: str, problem: Problem) -> bool | None:
        """Return whether the judge finds an answer right; None where it gives no verdict."""
        if not text.strip():
            return False
        content = self._question(text, problem)
        key = hashlib.sha256(json.dumps([self.url, self.model, self.body, content]).encode()).hexdigest()
        if key not in self._verdicts:
            found = next(filter(None, (_VERDICT.findall(self._reply(content)) for _ in range(_ASKED))), [])
            self._verdicts[key] = found[-1].upper() == "RIGHT" if found else None
            if found:
                self._keep(key)
        return self._verdicts[key]

    def _question(self, text: str, problem: Problem) -> str:
        fields = {"question": problem.prompt, "expected": "\nor\n".join(problem.accepted), "answer": text}
        return f"{_FIELDS.sub(lambda found: fields[found[1]], self.question)}\n\n{VERDICT}"

    def _reply(self, content: str) -> str:
        return without_thinking(self._model.reply(content))

    @property
    def _file(self) -> Path:
        if self.cache is not None:
            return Path(self.cache).expanduser()
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        name = hashlib.sha256(f"{self.url} {self.model}".encode()).hexdigest()[:16]
        return Path(home).expanduser() / "unmask" / "verdicts" / f"{name}.jsonl"

    @cached_property
    def _verdicts(self) -> dict[str, bool | None]:
        """The verdicts that are known, by the hash of what was asked; a line that was cut off is left out."""
        found: dict[str, bool | None] = {}
        if self._file.is_file():
            for line in self._file.read_text("utf-8", "replace").splitlines():
                with suppress(ValueError, KeyError, TypeError):
                    row = json.loads(line)
                    found[str(row["key"])] = bool(row["right"])
        return found

    def _keep(self, key: str) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        row = {"key": key, "right": self._verdicts[key], "judge": self.model}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
