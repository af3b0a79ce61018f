"""``unmask eval --questions FILE --answer RULE``, and the same as a section of a recipe."""

import json

import pytest

from unmask.evaluate.record import fingerprint
from unmask.evaluate.verify import hash_of

MODEL = "asset:quickstart/model"
DECODE = ("--max-new-tokens", "28", "--block-size", "7")


@pytest.fixture
def asked(run, tmp_path):
    """Questions as ``tasks write`` makes them: lists that the quick start's model sorts, mostly."""
    path = tmp_path / "lists.jsonl"
    run("tasks", "write", "{name: sorting, shortest: 8, longest: 8}", "--split", "test", "--problems", 6, "--out", path)
    return path


def same(first, second):
    drop = ("seconds", "decoding_seconds", "task")
    return {k: v for k, v in first.items() if k not in drop} == {k: v for k, v in second.items() if k not in drop}


def test_questions_are_judged_as_the_task_that_they_come_from(run, asked):
    task = "{name: sorting, shortest: 8, longest: 8}"
    theirs = json.loads(run("eval", MODEL, "--task", task, "--problems", 6, *DECODE, "--json").stdout)
    assert 0 < theirs["accuracy"] < 1
    given = ("--questions", asked, "--answer", "contains")
    ours = json.loads(run("eval", MODEL, *given, *DECODE, "--json").stdout)
    assert ours["task"] == "questions"
    assert same(theirs, ours)
    spelled = f"{{name: questions, path: '{asked}', answer: {{name: contains, words: true}}}}"
    assert same(ours, json.loads(run("eval", MODEL, "--task", spelled, *DECODE, "--json").stdout))


def test_wrong_answers_are_shown_with_what_was_expected(run, asked):
    given = ("eval", MODEL, "--questions", asked, "--answer", "contains", *DECODE)
    shown = run(*given).stdout
    wrong = 6 - round(6 * float(shown.split("accuracy")[1].split("%")[0]) / 100)
    assert f"wrong answers ({min(3, wrong)} of {wrong}):" in shown
    row = json.loads(asked.read_text().splitlines()[0])
    every = run(*given, "--show", 6).stdout
    assert every.count("expected:") == wrong
    assert row["prompt"] in every or f"{asked}:1" not in every
    assert "wrong answers" not in run(*given, "--show", 0).stdout
    assert "wrong answers" not in run("eval", MODEL, "--task", "sorting", "--problems", 3, *DECODE).stdout


def test_a_recipe_has_the_same_as_a_section(run, asked, tmp_path):
    recipe = tmp_path / "r.yaml"
    section = f"evaluate: {{questions: '{asked}', answer: contains, max_new_tokens: 28}}"
    recipe.write_text(
        f"model: {{path: {MODEL}}}\ndata: {{task: sorting, size: 9}}\ndecoder: {{block_size: 7}}\n{section}"
    )
    assert run("check", recipe).exit_code == 0
    preset = json.loads(run("eval", MODEL, "--recipe", recipe, "--json").stdout)
    given = ("--questions", asked, "--answer", "contains")
    assert same(preset, json.loads(run("eval", MODEL, *given, *DECODE, "--json").stdout))
    stricter = json.loads(run("eval", MODEL, "--recipe", recipe, "--answer", "exact", "--json").stdout)
    assert stricter["accuracy"] == 0  # the whole answer has its steps before the list
    other = json.loads(run("eval", MODEL, "--recipe", recipe, "--task", "sorting", "--problems", 2, "--json").stdout)
    assert (other["task"], other["problems"]) == ("sorting", 2)  # a task beside it outranks the section's questions


def test_a_run_is_recorded_and_repeated(run, asked, tmp_path):
    given = ("eval", MODEL, "--questions", asked, "--answer", "contains", *DECODE)
    assert run(*given, "--out", "runs/a").exit_code == 0
    kept = json.loads((tmp_path / "runs/a/run.json").read_text())["settings"]["task"]
    assert kept["answer"] == {"name": "contains", "ignore_case": False, "words": True}
    assert run("eval", "--repeat", "runs/a/run.json").exit_code == 0
    asked.write_text(asked.read_text().replace('"answer": "', '"answer": "9'))
    again = run("eval", "--repeat", "runs/a/run.json")
    assert again.exit_code == 2
    assert "problems_hash" in again.stderr


def test_a_function_that_only_a_record_names_is_not_run(run, asked, tmp_path):
    judge = tmp_path / "mine.py"
    judge.write_text("def fine(answer, row):\n    return row['answer'] in answer\n")
    given = ("--questions", asked, "--answer", f"python:{judge}:fine")
    first = run("eval", MODEL, *given, *DECODE, "--out", "runs/a")
    assert first.exit_code == 0
    assert "grade" in first.stdout
    kept = json.loads((tmp_path / "runs/a/run.json").read_text())
    assert str(judge) in kept["plugins"]
    # A record from somebody else, which names another file that nobody here has named.
    (tmp_path / "other.py").write_text("raise SystemExit('it ran')")
    changed = json.loads(json.dumps(kept).replace(str(judge), str(tmp_path / "other.py")))
    changed["plugins"] = []
    changed["fingerprint"] = fingerprint(changed["settings"])
    answers = tmp_path / "runs/a/answers.jsonl"
    answers.write_text(answers.read_text().replace(kept["fingerprint"], changed["fingerprint"]))
    changed["answers_sha256"] = hash_of(answers)
    (tmp_path / "runs/a/run.json").write_text(json.dumps(changed))
    done = run("eval", "--repeat", "runs/a/run.json")
    assert done.exit_code == 2
    assert "other.py, which is not run unasked" in done.stderr


@pytest.mark.parametrize(("options", "said"), [
    (("--questions", "q.jsonl"), "answer: expected a rule by which answers are right, found none; known: contains"),
    (("--answer", "number"), "expected a task, found none; write --task gsm8k, --questions FILE --answer number"),
    (("--questions", "q.jsonl", "--task", "sorting", "--answer", "exact"), "either task or questions, found both"),
    (("--task", "sorting", "--answer", "exact"), "answer: is the rule for a file of questions, and a task has its own"),
    (("--questions", "q.jsonl", "--answer", "{name: exact, ignorecase: true}"), "did you mean 'ignore_case'"),
    (("--questions", "none.jsonl", "--answer", "exact"), "none.jsonl: expected a data file, found none"),
    (("--questions", "q.jsonl", "--answer", "exact"), "q.jsonl:2: expected an answer under 'expected'"),
    (("--questions", "q.jsonl", "--answer", "exact", "--split", "train"), "questions has problems to be tested"),
    (("--questions", "q.jsonl", "--answer", "{name: judge, url: 'http://127.0.0.1:9/v1', model: m}"),
     "q.jsonl:2: expected an answer"),
])  # fmt: skip
def test_mistakes_are_told_in_one_line_before_a_model_is_loaded(run, tmp_path, options, said):
    (tmp_path / "q.jsonl").write_text('{"question": "a", "answer": "b"}\n{"question": "c"}\n')
    done = run("eval", "no/such-model", *options)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_judge_that_is_not_there_is_named_before_a_model_is_loaded(run, tmp_path):
    (tmp_path / "q.jsonl").write_text('{"question": "a", "answer": "b"}\n')
    judge = "{name: judge, url: 'http://127.0.0.1:9/v1', model: m}"
    done = run("eval", "no/such-model", "--questions", "q.jsonl", "--answer", judge)
    assert done.exit_code == 2
    assert "http://127.0.0.1:9/v1: expected an answer of the judge m, found no server" in done.stderr


def test_check_of_a_recipe_reads_its_questions(run, tmp_path, recipe):
    (tmp_path / "q.jsonl").write_text('{"question": "a"}\n')
    done = run("check", recipe(evaluate={"questions": "q.jsonl", "answer": "exact"}))
    assert done.exit_code == 2
    assert "evaluate: q.jsonl:1: expected an answer under" in done.stdout + done.stderr
    done = run("check", recipe(evaluate={"questions": "q.jsonl"}))
    assert "evaluate.answer: expected a rule by which answers are right" in done.stdout + done.stderr


def test_a_conversation_is_asked_with_its_turns(run, models, tmp_path):
    turns = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "2+2?"), ("assistant", "4")]
    row = {"messages": [{"role": role, "content": content} for role, content in turns]}
    (tmp_path / "q.jsonl").write_text(json.dumps(row))
    given = ("eval", models.chat, "--questions", "q.jsonl", "--answer", "number", "--max-new-tokens", 8)
    assert run(*given, "--out", "runs/a").exit_code == 0
    (answer,) = map(json.loads, (tmp_path / "runs/a/answers.jsonl").read_text().splitlines())
    assert answer["prompt"] == "system: Be brief.\n\nuser: Hi\n\nassistant: Hello\n\nuser: 2+2?"
    assert answer["expected"] == "4"
    assert run("tasks", "check", "{name: questions, path: q.jsonl, answer: number}").exit_code == 0
    assert run("tasks", "write", "{name: questions, path: q.jsonl, answer: number}", "--split", "test",
               "--out", "rows.jsonl").exit_code == 0  # fmt: skip
    written = json.loads((tmp_path / "rows.jsonl").read_text())
    assert (written["prompt"], written["completion"]) == (row["messages"][:-1], "4")
