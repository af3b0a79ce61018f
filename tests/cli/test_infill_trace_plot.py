"""``--infill``, ``--stop``, ``--n``, ``--cache``, ``--save-trace`` and ``unmask plot``."""

import json
from pathlib import Path

import pytest


def answer(run, *options):
    result = run("generate", *options, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_infill(run, models):
    blank = ("--infill", "12=___34___5", "--block-size", "4", "--cache", "dual")
    out = answer(run, models.digits, *blank, "--blank-tokens", "2", "--blank-tokens", "3")
    (text,), ((first, second),) = out["texts"], out["blanks"]
    assert text == f"12={first}34{second}5"
    assert out["forwards"] == 5
    assert run("generate", models.digits, *blank, "--blank-tokens", "2").stdout.startswith("12=")
    assert answer(run, models.digits, *blank)["forwards"] == 32


def test_samples_and_stop_strings(run, models):
    options = (models.digits, "--prompt", "12=", "--max-new-tokens", "12", "--block-size", "4")
    out = answer(run, *options, "--n", "3", "--temperature", "1")
    assert len({*out["texts"]}) == 3
    (text,) = answer(run, *options, "--proposal", "no_eos")["texts"]
    stopped = answer(run, *options, "--proposal", "no_eos", "--stop", text[1], "--stop", "never there")
    assert stopped["texts"] == [text[: text.index(text[1])]]
    assert stopped["forwards"] == 4


def test_a_trace_becomes_pictures(run, models):
    watched = run(
        "generate", models.digits, "--infill", "1___2", "--blank-tokens", "3", "--live", "--save-trace", "deep/t.jsonl"
    )
    assert watched.exit_code == 0, watched.stderr
    header = json.loads(Path("deep/t.jsonl").read_text().splitlines()[0])
    assert header["decoder"]["selection"]["name"] == "quota"
    assert header["seed"] == 0
    for ending in ("png", "svg", "gif", "html"):
        done = run("plot", "deep/t.jsonl", "--out", f"pictures/t.{ending}")
        assert done.stdout == f"pictures/t.{ending}\n", done.stderr
    again = run("plot", "deep/t.jsonl", "--out", "pictures/t.png")
    assert again.exit_code == 2
    assert "--out pictures/t.png: expected a new file, found something of that name" in again.stderr


def test_a_mask_token_in_a_prompt_is_pointed_out(run, models):
    result = run("generate", models.digits, "--prompt", "1<|mask|>", "--max-new-tokens", "2")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[0] == (
        "note: a prompt holds the mask token '<|mask|>', which stays as it is; --infill 'a ___ b' fills blanks"
    )


PROMPT, INFILL = ("--prompt", "12="), ("--infill", "1___2")
REFUSED = {
    (): "expected --prompt TEXT, --infill 'a ___ b' or --in FILE, found none",
    (
        *PROMPT,
        *INFILL,
    ): "--infill: the text itself says what is given and how long the canvas is, found --prompt beside it",
    (*INFILL, "--max-new-tokens", "4"): "--infill: the text itself says",
    (*INFILL, "--stop", "a"): "--infill: the text itself says",
    (*INFILL, "--raw"): "--infill: the text itself says",
    ("--infill", "12"): "text: expected a blank, three or more underscores, found none in '12'",
    (*INFILL, "--blank-tokens", "0"): "blank_tokens: expected at least 1 token in each blank, found 0",
    (*INFILL, "--blank-tokens", "1", "--blank-tokens", "1"): "blank_tokens: expected one number, or one for each of",
    (*PROMPT, "--blank-tokens", "4"): "--blank-tokens: is for blanks, found no --infill; write --max-new-tokens",
    (*PROMPT, "--n", "2"): "n: expected a decoder that draws random numbers",
    (*PROMPT, "--n", "2", "--live"): "--live: expected one --prompt or --infill, --n 1 and no --json; leave one out",
    (*PROMPT, "--stop", ""): "stop string: expected text of at least one character, found ''",
    (*PROMPT, "--cache", "duall"): "--cache: unknown cache 'duall'; did you mean 'dual'?",
    (*PROMPT, "--cache", "block"): "cache 'block': expected a block-causal, context-causal or causal model",
    (*PROMPT, "--save-trace", "."): "--save-trace .: expected a new file, found something of that name",
}


@pytest.mark.parametrize(("options", "says"), REFUSED.items(), ids=lambda each: " ".join(each) if each else "nothing")
def test_mistakes_are_told_in_a_line(run, models, options, says):
    result = run("generate", models.digits, *options)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: {says}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("none.jsonl", "--out", "a.png"), "'none.jsonl' cannot be read"),
        (
            ("none.jsonl", "--out", "a.pdf"),
            "--out: expected a file that ends in .png, .svg, .gif, .html, found 'a.pdf'",
        ),
    ],
)
def test_what_cannot_be_plotted(run, options, says):
    result = run("plot", *options)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {says}")


def test_chat_takes_a_cache(run, models):
    result = run("chat", models.digits, "--max-new-tokens", "8", "--cache", "dual", stdin="12=\n\n")
    assert result.exit_code == 0, result.stderr
