"""The model card: what it tells of a run, how results enter it, and that others read it and the files beside."""

import json
import logging
import shutil
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, metadata_load

import unmask
from unmask.errors import UserError
from unmask.evaluate.card import add_results
from unmask.models.card import with_name, with_results, with_section
from unmask.runtime.sealed import fault_of
from unmask.train.card import write_run_card
from unmask.train.run_folder import write_record

RECIPE = {
    "data": {"task": "sorting", "size": 24, "max_length": 64, "held_out": 4},
    "objective": {"name": "blockwise", "block_size": 8, "prefix_noise": 0.25},
    "run": {"steps": 2, "batch_size": 4, "lr": 1e-3, "eval_every": 1},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, models):
    """A run that was trained once; its recipe names the model by an absolute path."""
    out = tmp_path_factory.mktemp("card") / "mine"
    unmask.sft({"model": {"path": models.chat}, **RECIPE}, out, show=False)
    return out


@pytest.fixture
def mine(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "runs/mine"))


@pytest.fixture(scope="module")
def judged(trained, tmp_path_factory, run):
    """Evaluate the trained model."""
    out = tmp_path_factory.mktemp("judged") / "sorting"
    result = run("eval", trained, "--task", "sorting", "--problems", 6, "--max-new-tokens", 16, "--out", out)
    assert result.exit_code == 0, result.output
    return out


def test_the_card_of_a_run_tells_base_method_blocks_canvas_data_and_results(mine):
    record = json.loads((mine / "run.json").read_text())
    canvas = json.loads((mine / "model/config.json").read_text())["unmask"]["canvas"]
    last = json.loads((mine / "metrics.jsonl").read_text().splitlines()[-1])
    text, front = (mine / "model/README.md").read_text(), metadata_load(mine / "model/README.md")
    for told in (
        "# mine\n",
        f"| base | `chat`, hash of its weights `{record['settings']['weights']}` |",
        "| method | `blockwise` with prefix_noise: 0.25 |",
        "| block size | 8, counted from the answer |",
        f"| canvas, in columns of an answer | {canvas} |",
        f"| data | task sorting: 20 examples, hash of their tokens `{record['settings']['data']}` |",
        f"| held out | hash of the tokens `{record['settings']['held_out']}` |",
        "| steps | 2 of 2, 4 examples each |",
        f"| {last['held_out_loss']:.4g} |",
        "unmask generate mine/model --prompt",
        'lm = unmask.load("mine/model")',
    ):
        assert told in text, told
    assert str(mine.parent) not in text  # a path of this machine
    assert (front["library_name"], front["pipeline_tag"]) == ("unmask", "text-generation")
    assert "base_model" not in front  # it has no name on a hub
    found = {each.metric_type: each.metric_value for each in ModelCard(text).data.eval_results}
    assert found == {name: last[name] for name in ("held_out_loss", "held_out_bound")}


def test_the_recipe_on_the_card_is_the_one_that_was_run(mine):
    block = (mine / "model/README.md").read_text().split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(block) == {"model": {"path": "chat"}, **RECIPE}  # a path of this machine is its last name


def test_the_card_belongs_to_the_sealed_folder(mine):
    assert fault_of(mine / "model") is None


def test_a_base_and_data_on_the_hub_are_in_the_front_matter(mine):
    record = json.loads((mine / "run.json").read_text())
    record["settings"]["model"] = "somebody/base"
    record["recipe"]["data"] = {"sources": [{"path": "somebody/chats", "weight": 2}, "a/b.jsonl"]}
    write_record(mine, record)
    write_run_card(mine / "model", mine)
    front = metadata_load(mine / "model/README.md")
    assert front["base_model"] == "somebody/base"
    assert front["base_model_relation"] == "finetune"
    assert front["datasets"] == ["somebody/chats"]
    assert "| data | somebody/chats, b.jsonl: 20 examples" in (mine / "model/README.md").read_text()


def test_the_values_are_those_of_the_step_that_was_saved(mine):
    lines = [json.loads(line) for line in (mine / "metrics.jsonl").read_text().splitlines()]
    write_run_card(mine / "model", mine, step=1)
    text = (mine / "model/README.md").read_text()
    found = {each.metric_value: each.metric_args["step"] for each in ModelCard(text).data.eval_results}
    assert found[next(line["held_out_loss"] for line in lines if line["step"] == 1)] == 1
    assert "| steps | 1 of 2, 4 examples each |" in text


def test_a_record_that_cannot_be_read_costs_the_run_its_card_only(mine, caplog):
    before = (mine / "model/README.md").read_text()
    (mine / "run.json").write_text("{}")
    with caplog.at_level(logging.WARNING):
        write_run_card(mine / "model", mine)
    assert (mine / "model/README.md").read_text() == before
    assert "expected the record of a training run" in caplog.text


def test_results_enter_the_card_once_and_what_people_wrote_stays(run, mine, judged):
    file = mine / "model/README.md"
    head, body = file.read_text().split("<!-- written by unmask -->")
    written = (
        f"{head.replace('tags:', 'license: mit' + chr(10) + 'tags:')}<!-- written by unmask -->{body}\nMy own words.\n"
    )
    file.write_text(written)
    results = json.loads((judged / "run.json").read_text())["results"]
    for _ in range(2):
        shown = run("card", mine, "--results", judged)
        assert shown.exit_code == 0, shown.output
    text = file.read_text()
    assert shown.stdout == text
    assert "My own words." in text
    assert metadata_load(file)["license"] == "mit"
    found = {each.metric_type: each for each in ModelCard(text).data.eval_results}
    assert set(found) == {"held_out_loss", "held_out_bound", "accuracy"}
    accuracy = found["accuracy"]
    assert (accuracy.dataset_name, accuracy.metric_value) == ("sorting", results["accuracy"])
    assert accuracy.metric_args["interval"] == results["interval"]
    assert (accuracy.metric_args["problems"], accuracy.metric_args["canvas"]) == (6, 16)
    assert fault_of(mine / "model") is None  # the card was changed on purpose


def test_results_of_other_weights_and_changed_ones_are_refused(refused, models, mine, judged, tmp_path):
    other = shutil.copytree(models.digits, tmp_path / "other")
    refused("card", other, "--results", judged, says=("expected answers of", "run unmask eval --out on this model"))
    changed = shutil.copytree(judged, tmp_path / "changed")
    record = json.loads((changed / "run.json").read_text())
    record["results"]["accuracy"] = 1.0
    (changed / "run.json").write_text(json.dumps(record))
    refused("card", mine, "--results", changed, says="its results are not those of its answers")


def test_a_folder_without_a_card_is_refused(refused, mine):
    (mine / "model/README.md").unlink()
    refused("card", mine, says="expected README.md, found none")
    refused("card", "owner/name", says="expected the folder of a model or of its run")


def test_front_matter_that_is_no_yaml_is_refused_in_one_line(mine, judged):
    (mine / "model/README.md").write_text("---\ntags: [\n---\n# mine\n")
    with pytest.raises(UserError, match=r"the front matter of README.md cannot be read.*mend the lines"):
        add_results(mine, [judged])


def test_a_card_that_somebody_wrote_gets_results_at_its_end(judged):
    card = ModelCard("---\nlicense: mit\n---\n# Ann's model\n\nWords.\n")
    text = with_results(str(card), [], name="ann")
    assert text.endswith("# Ann's model\n\nWords.\n")
    assert with_name(text, "other", command="other") == text


def test_a_section_is_replaced_where_it_stands():
    text = with_section(with_section("a\n", "x", "1"), "y", "2")
    again = with_section(text, "x", "3")
    assert again == text.replace("\n1\n", "\n3\n")


def test_others_read_the_files(mine):
    """The safetensors and tokenizers libraries and AutoTokenizer read them; AutoModelForCausalLM stops at the guard."""
    from safetensors import safe_open
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = mine / "model"
    lm = unmask.load(folder, device="cpu")
    state = lm.model.state_dict()
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        names = set(file.keys())
        assert names <= state.keys()
        assert all(file.get_tensor(name).equal(state[name]) for name in names)
        assert file.metadata()["format"] == "pt"
    text = "Sort: 3 1 2"
    ids = lm.tokenizer(text)["input_ids"]
    assert Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids == ids
    assert AutoTokenizer.from_pretrained(folder)(text)["input_ids"] == ids
    assert AutoTokenizer.from_pretrained(folder).chat_template == lm.tokenizer.chat_template
    with pytest.raises(ValueError, match="unmask"):
        AutoModelForCausalLM.from_pretrained(folder)
