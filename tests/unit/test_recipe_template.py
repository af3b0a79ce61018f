"""``model.chat_template``: where it comes from, that encoding uses it, and that the trained model keeps it."""

import json

import pytest

from unmask.data import Record, encode, prompt_ids
from unmask.errors import UserError
from unmask.models import ScratchSpec, load
from unmask.models.tokenizers import char_tokenizer
from unmask.recipes.check import check
from unmask.recipes.inputs import load_model
from unmask.recipes.recipe import build, read_recipe
from unmask.recipes.run import run_recipe
from unmask.recipes.sections import ModelSection

TEMPLATE = (
    "{% for m in messages %}{{ ('q:' if m['role'] == 'user' else 'a:') + m['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}"
)
SCRATCH = {"from_scratch": {"hidden_size": 16, "layers": 1, "heads": 1}}


@pytest.fixture
def recipe(tmp_path):
    """Return a function that writes a recipe in a folder of its own, with a file of one chat."""
    chat = [{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "2"}]
    (tmp_path / "chats.jsonl").write_text(json.dumps({"messages": chat}) + "\n")

    def write(template, name="r.yaml", **model):
        (tmp_path / name).write_text(
            json.dumps(
                {
                    "model": {**SCRATCH, **model, "chat_template": template},
                    "data": {"path": str(tmp_path / "chats.jsonl")},
                    "run": {"steps": 1, "batch_size": 1},
                }
            )
        )
        return tmp_path / name

    return write


def test_a_file_is_relative_to_the_recipe_and_the_text_may_stand_in_it(recipe, tmp_path):
    (tmp_path / "mine.jinja").write_text(TEMPLATE)
    for given in ("mine.jinja", str(tmp_path / "mine.jinja"), TEMPLATE):
        values = read_recipe(recipe(given))
        assert check(values).problems == []
        tokenizer = load_model(build(values).model).tokenizer
        assert tokenizer.decode(prompt_ids(tokenizer, "1+1")) == "q:1+1\na:"


def test_the_trained_model_keeps_it_and_another_template_is_another_run(recipe, tmp_path):
    made = build(read_recipe(recipe(TEMPLATE)))
    run_recipe(made, tmp_path / "run", show=False)
    tokenizer = load(str(tmp_path / "run/model"), device="cpu").tokenizer
    assert tokenizer.decode(prompt_ids(tokenizer, "2")) == "q:2\na:"
    other = build(read_recipe(recipe(TEMPLATE.replace("q:", "u:"))))
    with pytest.raises(UserError, match="the chat template"):
        run_recipe(other, tmp_path / "run", resume=True, show=False)


def test_adapters_keep_it(recipe, tmp_path):
    run_recipe(build(read_recipe(recipe(TEMPLATE))), tmp_path / "base", show=False)
    values = read_recipe(recipe(TEMPLATE.replace("q:", "u:")))
    values["model"] = {
        "path": str(tmp_path / "base/model"), "lora": {"rank": 2}, "chat_template": values["model"]["chat_template"],
    }  # fmt: skip
    run_recipe(build(values), tmp_path / "adapter", show=False)
    tokenizer = load(str(tmp_path / "adapter/model"), device="cpu").tokenizer
    assert tokenizer.decode(prompt_ids(tokenizer, "2")) == "u:2\na:"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("none.jinja", "model.chat_template: expected a file, the text of a Jinja template, or a name"),
        ("empty.jinja", "expected a Jinja template with"),
        ("chatml", "chatml ends turns with the token <|im_end|>, which the tokenizer does not have"),
        ("{{ raise_exception('no') }}", "expected a chat template that renders a user and an assistant turn"),
        ("{% if %}", "expected a chat template that renders a user and an assistant turn"),
    ],
)
def test_what_cannot_work_is_found_by_check(recipe, tmp_path, template, says):
    (tmp_path / "empty.jinja").write_text("nothing")
    (problem,) = check(read_recipe(recipe(template))).problems
    assert says in problem


def test_chatml_by_name_adds_the_end_of_its_turns_to_those_of_the_model(tmp_path):
    tokenizer = char_tokenizer("usera itn\n12+")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.save_pretrained(tmp_path / "tokens")
    lm = load_model(ModelSection(tokenizer=str(tmp_path / "tokens"), chat_template="chatml", **build_scratch()))
    end = lm.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert lm.eos_ids == (end, lm.tokenizer.eos_token_id)
    turns = ({"role": "user", "content": "1+1"}, {"role": "assistant", "content": "2"})
    data = encode([Record(messages=turns, source="x:1")], lm.tokenizer, max_length=64, end_ids=lm.eos_ids)
    assert lm.tokenizer.decode(data[0].prompt) == "<|im_start|>user\n1+1<|im_end|>\n<|im_start|>assistant\n"
    assert lm.tokenizer.decode(data[0].answer) == "2<|im_end|>"


def build_scratch():
    return {"from_scratch": ScratchSpec(**SCRATCH["from_scratch"])}
