"""Tokenises prompts and answers, for training and for decoding.

A prompt is always tokenised alone, because that is all decoding has. An answer gets the tokens that follow the prompt
when both are tokenised together, if the prompt's own tokens come out unchanged, and is tokenised alone otherwise. For
byte-level tokenizers the two agree after a turn's header; for SentencePiece ones only the first is right, as a text
alone would get a space in front.
"""

from collections.abc import Sequence

from unmask.data.fields import check_leaves
from unmask.data.messages import turns
from unmask.data.records import BadRow, Message
from unmask.data.templates import Text, Tools, TrainedTurn, text_of
from unmask.errors import UserError
from unmask.runtime.transformers_api import Tokenizer


def prompt_ids(
    tokenizer: Tokenizer, prompt: str | Sequence[Message], *, chat: bool | None = None, tools: Tools = ()
) -> list[int]:
    """Return the tokens that decoding starts from: the same that training gave the same history.

    Args:
        tokenizer: of the model.
        prompt: text, or the turns so far, written in any of the ways that training data may be.
        chat: whether to use the chat template; None: if there is one.
        tools: that the model may call, as in the ``tools`` of a row.

    Returns:
        Token ids, the tokenizer's start tokens included.

    Raises:
        UserError: turns that cannot be read or that the template does not take, or text that is broken.
    """
    text = text_of(tokenizer, chat)
    try:
        check_leaves(prompt)
        history = prompt if isinstance(prompt, str) else turns(prompt, "prompt", "prompt")
        return [*text.start, *_tokens(tokenizer, [text.prompt(history, tools)])[0]]
    except BadRow as fault:
        raise UserError(f"prompt: {fault.detail}") from fault


def end_of_turn(tokenizer: Tokenizer, *, chat: bool | None = None) -> int:
    """Return the id of the token that ends every answer, with or without the chat template; decoding stops at it."""
    return text_of(tokenizer, chat).end_id


def tokenise(text: Text, raw: Text, trained_turns: Sequence[TrainedTurn]) -> list[tuple[list[int], list[int]]]:
    """Return the prompt and answer tokens of each example, answers with their end token.

    Args:
        text: how prompts and answers become text.
        raw: whose start and end tokens stand around texts that have no prompt.
        trained_turns: the text of each example.

    Returns:
        A list of (prompt ids, answer ids).
    """
    prompts = _tokens(text.tokenizer, [trained.prompt for trained in trained_turns])
    joints = _tokens(text.tokenizer, [trained.prompt + trained.answer for trained in trained_turns])
    tokens = []
    for trained, prompt, joint in zip(trained_turns, prompts, joints, strict=True):
        aligned = joint[: len(prompt)] == prompt
        answer = joint[len(prompt) :] if aligned else _tokens(text.tokenizer, [trained.answer])[0]
        frame = raw if trained.is_text else text
        tokens.append(([*frame.start, *prompt], [*answer, frame.end_id]))
    return tokens


def _tokens(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """Return the tokens of texts without special ones; no warning of texts that are longer than the model reads."""
    return tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []
