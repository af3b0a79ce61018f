"""While a model is read, a terminal shows its name, its size and the time; anything else is told nothing."""

import io
import re
import time

import pytest

from unmask.cli import opening
from unmask.errors import UserError


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def opened(monkeypatch):
    """Open a model while stderr takes itself for a terminal, or not; reading takes long enough for a frame."""
    import unmask.models

    read = unmask.models.load

    def slowly(name, **options):
        time.sleep(0.15)
        return read(name, **options)

    monkeypatch.setattr(unmask.models, "load", slowly)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def opened(name, *, live=True, is_terminal=True):
        written = Terminal()
        with monkeypatch.context() as here:
            here.setattr("sys.stderr", written)
            here.setattr(Terminal, "isatty", lambda self: is_terminal)
            try:
                return opening.open_model(name, device="cpu", live=live), written.getvalue()
            except UserError as error:
                return error, written.getvalue()

    return opened


def shown(written):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)


def test_a_terminal_sees_name_and_size_and_then_an_empty_line(models, opened):
    lm, written = opened(models.chat)
    assert lm.source == models.chat
    assert re.search(rf"reading {re.escape(models.chat)} \(0\.\d MB\) 0:00:0\d", shown(written))
    assert "\x1b[2K" in written[written.rindex("reading") :]  # the line is erased in the end
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1  # and the cursor is there again


def test_it_is_taken_away_when_the_model_cannot_be_read(tmp_path, opened):
    error, written = opened(str(tmp_path))
    assert isinstance(error, UserError)
    assert "\x1b[2K" in written[written.rindex("reading") :]
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1


@pytest.mark.parametrize("how", [{"live": False}, {"is_terminal": False}])
def test_nothing_is_written_without_a_terminal_or_without_being_asked(models, opened, how):
    _, written = opened(models.chat, **how)
    assert written == ""


def test_the_size_is_that_of_the_weights(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.safetensors").write_bytes(b"0" * 2_500_000)
    (tmp_path / "a.gguf").write_bytes(b"0" * 400_000)
    assert opening._size_of(tmp_path) == " (2.5 MB)"
    assert opening._size_of(tmp_path / "a.gguf") == " (0.4 MB)"
    assert opening._size_of(tmp_path / "owner/name") == ""


def test_generate_live_and_chat_ask_for_it(refused, models, monkeypatch):
    asked = []

    def refuse(name, *, live=False, **options):
        asked.append(live)
        raise UserError("not now")

    monkeypatch.setattr(opening, "open_model", refuse)
    for arguments in (
        ("generate", models.chat, "--prompt", "a", "--live"),
        ("generate", models.chat, "--prompt", "a"),
        ("chat", models.chat),
    ):
        refused(*arguments, says="not now")
    assert asked == [True, False, True]
