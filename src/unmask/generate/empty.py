"""Why an answer is empty: found out from the tokens that the model wrote, with what to try."""

from torch import Tensor

from unmask.models import LoadedModel
from unmask.tasks import without_thinking


def why_empty(
    lm: LoadedModel,
    answer: Tensor,
    text: str,
    *,
    finish: str = "",
    chat: bool | None = None,
    canvas: int | None = None,
) -> str | None:
    """Return why an answer says nothing, and what to try; None where it says something.

    Args:
        lm: the model that wrote it.
        answer: its tokens, up to and with the end.
        text: what they spell, without special tokens.
        finish: why it ends where it does; see ``Generation.finish``.
        chat: whether the prompt was put into the chat template; None: if there is one.
        canvas: columns that were to be filled; None: as many as the model was trained for.

    Returns:
        One line, or None.
    """
    if text.strip():
        if without_thinking(text).strip():
            return None
        return _thought(lm, finish)
    if finish == "stop":
        return "it begins with a stop string; leave out --stop, or name another one"
    if finish == "stuck":
        return "the constraint allows nothing that the model could write first; mend --regex or --json-schema"
    written = [token for token in answer.tolist() if token not in lm.eos_ids]
    if text:
        return f"it is white space only ({len(written)} tokens); {_remedy(lm, chat, canvas)}"
    if written:
        names = [_spelt(lm, token) for token in dict.fromkeys(written)]
        return (
            f"its {len(written)} tokens are special ones ({', '.join(names[:3])}), which the text leaves out; "
            f"{_remedy(lm, chat, canvas)}"
        )
    ends = _spelt(lm, int(answer[0])) if len(answer) else "an end token"
    return f"the first token that was written is the end of the answer ({ends}); {_remedy(lm, chat, canvas)}"


def _thought(lm: LoadedModel, finish: str) -> str:
    if finish == "length":
        columns = f" (it has {lm.facts.canvas} columns)" if lm.facts.canvas else ""
        return f"it is all thinking, and the canvas was full before an answer{columns}; write a larger --max-new-tokens"
    return "it is all thinking, and ends without an answer; write --raw, or another prompt"


def _remedy(lm: LoadedModel, chat: bool | None, canvas: int | None) -> str:
    """Return what most likely mends it: the first that does not fit how the model was trained."""
    has_template = bool(getattr(lm.tokenizer, "chat_template", None))
    trained = lm.facts.canvas
    if has_template and chat is False:
        return "the prompt was not put into the model's chat template: leave out --raw"
    if is_untuned(lm):
        return "this model was not tuned as a diffusion model yet: train it first (unmask sft)"
    if trained is not None and canvas is not None and canvas > trained:
        return f"the canvas of {canvas} is larger than the {trained} that it was trained on: --max-new-tokens {trained}"
    if not has_template:
        return "it has no chat template: write the prompt as in its training data, such as 'Q: …\\nA:'"
    if trained is None and lm.facts.attention == "bidirectional":
        return "a shorter canvas may help (--max-new-tokens 32), or smaller blocks (--block-size 8)"
    return "write the prompt as in its training data, or try --temperature 0.7, or --proposal no_eos"


def is_untuned(lm: LoadedModel) -> bool:
    """Return whether a model is a released one of no diffusion family, with the mask token added as it was loaded."""
    return lm.facts.family is None and lm.facts.source == lm.source and lm.adapter is None


def _spelt(lm: LoadedModel, token: int) -> str:
    return str(token) if lm.tokenizer is None else str(lm.tokenizer.convert_ids_to_tokens(token))
