"""``unmask chat``: its commands, through a pipe, and its keys, on a terminal."""

import json
import os
import re
import select
import sys
import time

import pytest
import torch

from unmask.data import read
from unmask.models import load

SHORT = ("--max-new-tokens", "6", "--block-size", "6")


@pytest.fixture
def talk(run, models):
    """Return what is printed on stdout and on stderr by a chat through a pipe."""

    def talk(*lines, model=None, options=SHORT, code=0):
        result = run("chat", model or models.chat, *options, stdin="".join(f"{line}\n" for line in lines))
        assert result.exit_code == code, result.stderr
        return result.stdout, result.stderr

    return talk


def test_a_saved_chat_is_a_row_to_train_on_and_to_go_on_with(talk, models, tmp_path):
    first, _ = talk("/system Be brief", "What is two", "And three", "/save kept/chats.jsonl")
    _, said = talk("Four", "/save kept/chats.jsonl")
    assert "1 row added to kept/chats.jsonl" in said
    rows = [json.loads(line) for line in (tmp_path / "kept/chats.jsonl").read_text().splitlines()]
    assert [turn["role"] for turn in rows[0]["messages"]] == ["system", "user", "assistant", "user", "assistant"]
    assert first == "".join(turn["content"] + "\n" for turn in rows[0]["messages"][2::2])
    assert len(rows[1]["messages"]) == 2
    records = read(tmp_path / "kept/chats.jsonl")
    assert [record.fault for record in records] == [None, None]
    _, said = talk("/load kept/chats.jsonl", "/save again.jsonl")
    assert "goes on after 2 turns of kept/chats.jsonl" in said
    assert json.loads((tmp_path / "again.jsonl").read_text()) == rows[1]


def test_a_model_without_chats_saves_prompts_and_completions(talk, models, tmp_path):
    answers, said = talk("12=", "34=", "/save pairs.jsonl", model=models.digits)
    assert "2 rows written to pairs.jsonl" in said
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in rows] == ["12=", "34="]
    assert "".join(row["completion"] + "\n" for row in rows) == answers


def test_what_was_said_is_forgotten_and_the_system_prompt_stays(talk, tmp_path):
    _, said = talk("/system Be brief", "What", "/reset", "Again", "/save a.jsonl", "/system", '/system ""', "/system")
    (row,) = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [turn["content"] for turn in row["messages"][:2]] == ["Be brief", "Again"]
    assert "forgot 2 turns; the system prompt stays" in said
    assert "system: Be brief" in said
    assert "no system prompt\n> system: none" in said


def test_options_are_shown_and_changed(talk):
    lines = (
        "/set",
        "/set temperature 0.7",
        "/set temperature",
        "/set seed 3",
        "/set block-size 2",
        "/set released default",
    )
    _, said = talk(
        *lines, "/set max_new_tokens 4", "/set max_new_tokens default", "/set threshold 0.5", "/set threshold none"
    )
    assert re.search(r"max_new_tokens  6\n", said)
    assert re.search(r"threshold +0\.9 \(default\)\n", said)
    assert re.search(r"temperature +0 \(default\)\n", said)
    assert "temperature is 0.7\n> temperature     0.7\n" in said
    assert "seed is 3" in said
    assert "block_size is 2" in said
    assert "max_new_tokens is 256 (default)" in said
    assert "threshold is 0.9 (default)" in said


def test_an_option_takes_effect(talk, models):
    _, said = talk(
        "12=", "/set max_new_tokens 3", "/set block_size 3", "/set threshold 1.1", "12=", model=models.digits
    )
    assert "forward 3 " in said.partition("threshold is")[2]
    drawn = ("--temperature", "1.5", "--max-new-tokens", "12", "--block-size", "12")
    one, _ = talk("12=", model=models.digits, options=drawn)
    again, _ = talk("12=", "/set seed 0", "/reset", "12=", model=models.digits, options=drawn)
    assert again == one + one  # the same seed and history: the same answer
    two, _ = talk("12=", "/retry", model=models.digits, options=drawn)
    three, _ = talk("12=", "/retry", "/retry", model=models.digits, options=drawn)
    first, second, third = one, two.removeprefix(one), three.removeprefix(two)
    assert three == first + second + third
    assert len({first, second, third}) == 3
    other, _ = talk("/set seed 1", "12=", model=models.digits, options=drawn)
    assert other != one


def test_retry_takes_the_place_of_the_last_answer(talk, tmp_path):
    _, said = talk("One", "Two", "/retry", "/save a.jsonl")
    (row,) = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [turn["content"] for turn in row["messages"][::2]] == ["One", "Two"]
    assert "note: at temperature 0 an answer stays the same; /set temperature 0.7 draws others" in said


MISTAKES = {
    "/foo bar": 'unknown command \'/foo\'; /help lists them; a text that begins with / goes between """',
    "/rest": "unknown command '/rest'; did you mean '/reset'?",
    "/set temperature hot": "/set temperature: expected a number, or default, found 'hot'",
    "/set steps 1.5": "/set steps: expected a whole number, or default, found '1.5'",
    "/set released maybe": "/set released: expected true or false, or default, found 'maybe'",
    "/set seed none": "/set seed: expected a whole number, found 'none'",
    "/set temperatures 1": "/set: unknown option 'temperatures'; did you mean 'temperature'?",
    "/set temperature -1": "/set temperature: expected at least 0, found -1.0",
    "/set selection nope": "/set selection: unknown selection 'nope'",
    "/set max_new_tokens 0": "/set max_new_tokens: expected at least 1, found 0",
    "/save": "/save: expected a file that ends with .jsonl, found none; write /save chats.jsonl",
    "/save notes.txt": "/save: expected a file that ends with .jsonl, found 'notes.txt'",
    "/save a.jsonl": "/save: expected a chat with an answer, found none; write something first",
    "/load nothing.jsonl": "'nothing.jsonl' cannot be read: No such file or directory",
    "/retry": "/retry: expected an answer to give again, found none",
    '"""open': 'stdin: expected """ at the end of a text of several lines, found the end of the input',
}


@pytest.mark.parametrize(("line", "says"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_in_a_pipe_is_told_in_a_line(talk, line, says):
    _, said = talk(line, code=2)
    (error,) = [each for each in said.splitlines() if "error: " in each]
    assert error.removeprefix("> ").removeprefix("... ").startswith(f"error: {says}"), said


def test_several_lines_are_one_text(talk, models, tmp_path):
    talk('"""What', "", '/is two"""', '"""/And"""', "/save a.jsonl")
    (row,) = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [turn["content"] for turn in row["messages"][::2]] == ["What\n\n/is two", "/And"]


def test_help_names_every_command(talk):
    from unmask.cli.chat_session import COMMANDS

    _, said = talk("/help")
    assert all(re.search(rf"^(> )?{re.escape(name)}\b", said, re.MULTILINE) for name in COMMANDS)


@pytest.fixture
def mute(models, monkeypatch):
    """Let every command load a model that writes an end wherever it may."""
    lm = load(models.chat)
    head = lm.model.get_output_embeddings()
    with torch.no_grad():
        head.weight.zero_()
        head.weight[lm.eos_ids[0]] = 1.0
    lm.model.model.norm.register_forward_hook(lambda module, given, found: torch.ones_like(found))
    monkeypatch.setattr("unmask.cli.opening.open_model", lambda *_, **__: lm)
    return models.chat


def test_an_empty_answer_says_why(talk, mute):
    _, said = talk("What", "/reset", model=mute)
    assert "note: the answer is empty: the first token that was written is the end of the answer (<|im_end|>); " in said


def test_empty_answers_of_an_evaluation_say_why(run, mute):
    result = run("eval", mute, "--task", "sorting", "--problems", "3", *SHORT)
    assert result.exit_code == 0, result.stderr
    assert "empty answers       3\n" in result.stdout
    said = "note: 3 of 3 answers are empty: the first token that was written is the end of the answer (<|im_end|>); "
    assert said in result.stderr


class Terminal:
    """A chat on a terminal of its own."""

    def __init__(self, *arguments):
        import pty

        self.pid, self.end = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm", COLUMNS="120", PYTHONPATH=os.pathsep.join(sys.path))
            os.execv(sys.executable, [sys.executable, "-m", "unmask.cli.main", "chat", *arguments])
        self.text, self.seen = "", 0

    def until(self, text):
        """Read until a text comes that was not read before."""
        last = time.monotonic() + 60
        while text not in self.text[self.seen :]:
            assert time.monotonic() < last, f"no {text!r} in {self.text[self.seen :]!r}"
            assert self.read(), f"ended before {text!r}: {self.text[self.seen :]!r}"
        begin = self.seen
        self.seen = self.text.index(text, self.seen) + len(text)
        return self.text[begin : self.seen]

    def read(self):
        """Read what is there; False at the end."""
        if select.select([self.end], [], [], 1)[0]:
            try:
                found = os.read(self.end, 65536)
            except OSError:  # Linux says so when the other side is closed
                return False
            self.text += re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", found.decode(errors="replace"))
            return bool(found)
        return True

    def send(self, text):
        if text == "\x03":  # readline sees a signal only while it waits for a key
            time.sleep(0.5)
        os.write(self.end, text.encode())

    def leave(self):
        """Wait for the end, and return the exit code."""
        while self.read():
            pass
        os.close(self.end)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of Unix")
def test_keys_on_a_terminal(models, tmp_path):
    chat = Terminal(models.chat, "--max-new-tokens", "4", "--block-size", "4")
    chat.until("/help shows the commands")
    chat.until("> ")
    chat.send("\n")  # an empty line is ignored
    chat.until("> ")
    chat.send("/set temperature hot\n")  # a mistake does not end it
    chat.until("expected a number, or default, found 'hot'")
    chat.until("> ")
    chat.send("One\n")
    chat.until("tokens per forward")
    chat.until("\n> ")
    chat.send("/set max_new_tokens 900\n")
    chat.until("\n> ")
    chat.send("/set threshold 1.1\n")  # one token a step: there is time to press Ctrl-C
    chat.until("\n> ")
    chat.send("Two\n")
    chat.until("forward 3")
    chat.send("\x03")
    chat.until("stopped; the chat goes on as if this had not been said")
    chat.until("> ")
    chat.send("half a li")
    chat.until("half a li")
    chat.send("\x03")  # wipes the line, and says nothing
    assert "leaves the chat" not in chat.until("\n> ")
    chat.send("\x03")
    chat.until("Ctrl-C again, Ctrl-D or /exit leaves the chat")
    chat.until("> ")
    chat.send("/save a.jsonl\n")  # something typed: the next Ctrl-C is a first one again
    chat.until("1 row written")
    chat.until("> ")
    chat.send("\x03")
    chat.until("leaves the chat")
    chat.until("> ")
    chat.send("\x03")
    assert chat.leave() == 0
    (row,) = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [turn["content"] for turn in row["messages"] if turn["role"] == "user"] == ["One"]  # Two was stopped


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of Unix")
def test_history_several_lines_and_the_end_of_the_input(models):
    chat = Terminal(models.digits, "--max-new-tokens", "4", "--block-size", "4")
    chat.until("> ")
    chat.send('"""12\n')
    chat.until("... ")
    chat.send("\x03")  # gives the text up
    chat.until("\n> ")
    chat.send("/set seed 5\n")
    chat.until("seed is 5")
    chat.until("> ")
    chat.send("\x1b[A")  # the arrow up
    chat.until("/set seed 5")
    chat.send("\n")
    chat.until("seed is 5")
    chat.until("> ")
    chat.send("\x04")
    assert chat.leave() == 0
    assert "Traceback" not in chat.text
