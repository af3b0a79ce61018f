"""The chat template that a recipe gives a tokenizer."""

from pathlib import Path

from unmask.errors import UserError, not_utf8, shorten
from unmask.runtime.foreign import check_file
from unmask.runtime.transformers_api import Tokenizer

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
NAMED = {"chatml": CHATML}
"""Templates that can be chosen by name."""

MOST = 2**20  # bytes: as long as a template may be that is rendered


def absolute(value: str, folder: Path) -> str:
    """Return the value of ``model.chat_template`` with a file as an absolute path; text and names are unchanged."""
    return value if _is_text(value) or value in NAMED else str((folder / Path(value).expanduser()).resolve())


def set_template(tokenizer: Tokenizer | None, value: str | None) -> None:
    """Put a chat template in the place of a tokenizer's own.

    Args:
        tokenizer: of the model; None where there is none, and nothing is done.
        value: a file, the text of a template, or a name; None leaves the tokenizer as it is.

    Raises:
        UserError: there is no such file, or the tokenizer has no token that the named template writes.
    """
    if tokenizer is None or value is None:
        return
    template = value if _is_text(value) else NAMED.get(value) or _read(value)
    if value in NAMED and "<|im_end|>" not in tokenizer.get_vocab():
        raise UserError(
            f"model.chat_template: {value} ends turns with the token <|im_end|>, which the tokenizer does not have; "
            "write a template of its own tokens into a file"
        )
    tokenizer.chat_template = template


def _is_text(value: str) -> bool:
    return "{{" in value or "{%" in value


def _read(value: str) -> str:
    path = Path(value).expanduser()
    if not path.is_file():
        raise UserError(
            f"model.chat_template: expected a file, the text of a Jinja template, or a name ({', '.join(NAMED)}), "
            f"found '{shorten(value, 160)}', which is none of them; check the path, which is relative to the recipe"
        )
    check_file(path, MOST)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"model.chat_template: {path}: expected UTF-8 text, found {not_utf8(error)}; save it as UTF-8"
        ) from error
    except OSError as error:
        raise UserError(f"model.chat_template: {path}: cannot be read ({error.strerror}); check the path") from error
    if not _is_text(text):
        raise UserError(
            f"model.chat_template: {path}: expected a Jinja template with {{{{ … }}}} or {{% … %}}, found none in it; "
            "write one"
        )
    return text
