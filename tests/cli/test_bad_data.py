"""Data and texts that cannot be read, and columns that are not used: one line with the place, from every command."""

import json

import pytest

GOOD = {"prompt": "12=", "completion": "12"}


def sft(recipe_path, *more):
    return ("sft", recipe_path, "--out", "run", *more)


UNREADABLE = {
    "half a pair": (
        b'{"prompt": "1=", "completion": "1\\ud83d"}',
        ":1: expected text, found half a surrogate pair (\\ud83d) at",
    ),
    "long number": (
        b'{"prompt": "1=", "completion": ' + b"7" * 5000 + b"}",
        ":1: expected text under 'completion', found a n",
    ),
    "deep": (
        b'{"prompt": "1=", "completion": ' + b"[" * 100_000,
        ":1: expected at most some hundred brackets inside one",
    ),
    "deep list": (
        b"[" * 100_000,
        " row 1: expected at most some hundred brackets inside one another, found more; flatten it",
    ),
    "NUL": (b'{"prompt": "1\0=", "completion": "1"}', ":1: expected text, found a NUL byte at column 14; take it out"),
    "UTF-16": (
        '{"prompt": "1=", "completion": "1"}'.encode("utf-16"),
        ": expected UTF-8 text, found UTF-16; save it as UTF-8",
    ),
    "key twice": (
        b'{"prompt": "1=", "prompt": "2=", "completion": "1"}',
        ":1: expected every key once, found 'prompt' twice",
    ),
    "name of a column": (b'{"\\ud83d": "1="}', ": expected the columns of a known shape"),
    "image": (
        b'{"messages": [{"role": "user", "content": [{"type": "image"}]}]}',
        ":1: expected text as the content of messages[0]",
    ),
    "weight": (
        b'{"messages": [{"role": "assistant", "content": "a", "weight": 0.3}]}',
        ":1: expected 0 (context only) or 1",
    ),
    "call": (
        b'{"messages": [{"from": "function_call", "value": "["}]}',
        ":1: expected a call as JSON in messages[0], found text",
    ),
    "tools": (
        b'{"prompt": "1=", "completion": "1", "tools": "x"}',
        ":1: expected a list of tools under 'tools', found text",
    ),
}


@pytest.mark.parametrize(("content", "says"), UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("command", ["check", "sft", "sft skip", "preview", "likelihood", "analyze"])
def test_unreadable_data_is_one_line_from_every_command(refused, recipe, models, tmp_path, command, content, says):
    (tmp_path / "rows.jsonl").write_bytes(content + b"\n")
    on_bad = "skip" if command == "sft skip" else "error"
    path = recipe(model={"path": models.digits}, data={"path": "rows.jsonl", "on_bad": on_bad})
    arguments = {
        "check": ("check", path),
        "preview": ("preview", "rows.jsonl", "--model", models.digits),
        "likelihood": ("likelihood", models.digits, "rows.jsonl"),
        "analyze": ("analyze", models.digits, "rows.jsonl", "--out", "found"),
    }
    refused(*arguments.get(command, sft(path)), says=f"rows.jsonl{says}")


def test_a_parquet_file_of_broken_text(refused, models, tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    column = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
    pq.write_table(pa.table({"prompt": column, "completion": ["1"]}), tmp_path / "rows.parquet")
    refused(
        "preview", "rows.parquet", "--model", models.digits, says="rows.parquet: expected UTF-8 text, found byte 0xff"
    )


TEXTS = {
    "prompt": ("generate", "--prompt", "1\udcff"),
    "raw prompt": ("generate", "--raw", "--prompt", "1\udcff"),
    "infill before": ("generate", "--infill", "1\udcff ___"),
    "infill behind": ("generate", "--infill", "1 ___ \udcff"),
}


@pytest.mark.parametrize("arguments", TEXTS.values(), ids=TEXTS)
def test_text_that_cannot_be_encoded(refused, models, arguments):
    command, *rest = arguments
    (line,) = refused(
        command, models.chat, *rest, says="expected text, found half a surrogate pair (\\udcff) at char", stdin="2\n"
    )
    assert line.endswith("; write it anew")


def test_a_system_prompt_that_cannot_be_encoded(run, models):
    result = run("chat", models.chat, "--system", "\udcff", stdin="2\n")
    assert result.exit_code == 2
    assert (
        "error: prompt: expected text, found half a surrogate pair (\\udcff) at character 1; write it anew"
        in result.stderr
    )


@pytest.mark.parametrize(("command", "says"), [(("generate", "--prompt", "-"), "--prompt -"), (("chat",), "stdin")])
def test_bytes_on_stdin_that_are_no_text(run, models, command, says):
    result = run(command[0], models.chat, *command[1:], stdin=b"1\xff\n")
    assert result.exit_code == 2
    assert f"error: {says}: expected UTF-8 text" in result.stderr
    assert "found byte 0xff; convert it" in result.stderr


def test_broken_text_in_a_task(refused, models, tmp_path):
    (tmp_path / "test.jsonl").write_text(
        '{"question": "1+1 \\ud83d", "answer": "#### 2", "problem": "\\ud83d", "solution": "x"}\n'
    )
    for name in ("gsm8k", "math500"):
        path = "." if name == "gsm8k" else "test.jsonl"
        task = f"{{name: {name}, path: {path}}}"
        refused(
            "eval",
            models.digits,
            "--task",
            task,
            says="test.jsonl:1: expected text, found half a surrogate pair (\\ud83d)",
        )


def test_deep_brackets_in_other_files(refused, models, tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    refused(
        "generate",
        models.digits,
        "--prompt",
        "1",
        "--json-schema",
        "deep.json",
        says="--json-schema: expected a JSON obj",
    )
    refused(
        "plot", "deep.json", "--out", "x.html", says="deep.json: expected a trace, JSON Lines, found something else"
    )


def test_a_mask_token_in_a_prompt_is_read_as_it_stands_everywhere(run, recipe, models, rows):
    rows({"prompt": "1<|mask|>=", "completion": "1"}, GOOD)
    path = recipe(model={"path": models.digits}, data={"path": "rows.jsonl"})
    for arguments in (
        ("check", path),
        sft(path),
        ("preview", "rows.jsonl", "--model", models.digits),
        ("likelihood", models.digits, "rows.jsonl", "--draws", "1"),
        ("generate", models.digits, "--prompt", "1<|mask|>=", "--max-new-tokens", "2"),
    ):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        assert "left out" not in result.stderr


def test_columns_that_matter_are_named_once_and_others_counted_in_preview(run, recipe, models, rows):
    rows({**GOOD, "chosen": "x", "id": 1}, {**GOOD, "chosen": "y", "id": 2})
    path = recipe(model={"path": models.digits}, data={"path": "rows.jsonl"})
    named = "columns that matter in training and are not used here: chosen (2 rows)"
    for arguments in (
        ("check", path),
        sft(path),
        ("preview", "rows.jsonl", "--model", models.digits),
        ("likelihood", models.digits, "rows.jsonl", "--draws", "1"),
        ("analyze", models.digits, "rows.jsonl", "--out", "found", "--passes", "1", "--bins", "2"),
    ):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        assert result.stderr.count(named) == 1
        assert ("columns that no one reads: id (2 rows)" in result.stderr) == (arguments[0] == "preview")
    report = json.loads(run("preview", "rows.jsonl", "--model", models.digits, "--json").stdout)["report"]
    assert (report["unused"], report["unread"]) == ({"chosen": 2}, {"id": 2})


def test_roles_in_a_recipe(run, refused, recipe, models, rows):
    rows({"messages": [{"role": "Kind", "content": "What is two"}, {"role": "Arzt", "content": "It is four."}]})
    path = recipe(model={"path": models.chat}, data={"path": "rows.jsonl"})
    refused("check", path, says="found 'Kind'; write data.roles={name: role} (unknown role: 1 of 1)")
    assert run("check", path, "--set", "data.roles={Kind: user, Arzt: assistant}").exit_code == 0
    refused(
        "check", path, "--set", "data.roles={Kind: usr}", says="data.roles.Kind: expected one of the roles assistant"
    )
    refused("check", path, "--set", "data.roles=[Kind]", says="data.roles: expected")


def test_preview_reads_the_data_of_a_recipe(run, refused, recipe, models, rows):
    rows({"talk": [{"role": "Kind", "content": "What is two"}, {"role": "Arzt", "content": "It is four."}], "id": 1})
    data = {"path": "rows.jsonl", "columns": {"messages": "talk"}, "roles": {"Kind": "user", "Arzt": "assistant"}}
    path = recipe(model={"path": models.chat}, data=data)
    found = json.loads(run("preview", path, "--json").stdout)
    assert found["report"] == {"rows": 1, "examples": 1, "truncated": 0, "skipped": {}, "unread": {"id": 1}}
    said = "".join(s["text"] for s in found["examples"][0]["segments"] if s["kind"] == "response")
    assert said == "It is four."
    assert "It is four." in run("preview", recipe(data=data), "--model", models.chat).stdout
    assert run("preview", recipe(model={"path": models.digits}, data={"task": "sorting"}), "--json").exit_code == 0
    refused("preview", recipe(data={"size": 3}), says="expected either a path or a task, found both or none")
    refused("preview", recipe(data={**data, "role": {}}), says="data.role: unknown")
    refused("preview", "none.yaml", says="none.yaml: no such recipe")
