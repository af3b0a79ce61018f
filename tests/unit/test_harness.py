"""Three stock tasks of lm-evaluation-harness on rows in their published formats, and the numbers behind them."""

import json
import math
import sys
from pathlib import Path

import pytest

pytest.importorskip("lm_eval")

sys.path.insert(0, str(Path(__file__).parent / "data"))
import lm_eval.tasks  # noqa: E402
import torch  # noqa: E402
from chat_templates import tokenizer_for  # noqa: E402  # a neighbour's helpers
from lm_eval import simple_evaluate  # noqa: E402
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402
from tokenizers.processors import TemplateProcessing  # noqa: E402

from unmask.data import Encoded  # noqa: E402
from unmask.errors import UserError  # noqa: E402
from unmask.evaluate import likelihood_bound  # noqa: E402
from unmask.harness import UnmaskLM  # noqa: E402
from unmask.models import ScratchSpec, from_scratch  # noqa: E402

ROWS = {
    "arc_easy": [
        {
            "id": "1",
            "question": "What is two plus two?",
            "choices": {"text": ["four", "seven, of course", "clips"], "label": ["A", "B", "C"]},
            "answerKey": "A",
        },
        {
            "id": "2",
            "question": "When did Natalia sell?",
            "choices": {"text": ["In May", "four"], "label": ["1", "2"]},
            "answerKey": "2",
        },
    ],
    "gsm8k": [{"question": "Natalia sold 48/2 clips. How many?", "answer": "It is 24.\n#### 24"}],
    "wikitext": [{"page": "And three more makes seven , of course . Be brief , please ."}],
}


@pytest.fixture(scope="module")
def model():
    lm = from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=1, seed=2), tokenizer_for("chatml"), device="cpu")
    return UnmaskLM(lm, batch_size=4, draws=6, max_new_tokens=8)


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """Stock tasks whose data are files here; nothing else of them is changed."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    stock = Path(lm_eval.tasks.__file__).parent

    def tasks(name, folder, **changes):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS[name]))
        files = {split: str(path) for split in ("train", "validation", "test")}
        local = {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}
        (tmp_path / "tasks").mkdir()
        (tmp_path / "tasks/local.yaml").write_text(
            json.dumps({"include": str(stock / folder / f"{name}.yaml"), **local, **changes})
        )
        return TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)

    return tasks


def evaluated(model, name, manager, **options):
    return simple_evaluate(model, tasks=[name], task_manager=manager, bootstrap_iters=0, **options)


def requests(kind, *arguments):
    return [Instance(request_type=kind, doc={}, arguments=args, idx=0) for args in arguments]


def test_multiple_choice(model, offline):
    found = evaluated(model, "arc_easy", offline("arc_easy", "arc"))
    samples = found["samples"]["arc_easy"]
    assert len(samples) == 2
    for sample, row in zip(samples, ROWS["arc_easy"], strict=True):
        values = [float(response[0][0]) for response in sample["resps"]]
        assert all(value < 0 for value in values)
        gold = row["choices"]["label"].index(row["answerKey"])
        assert sample["acc"] == float(values.index(max(values)) == gold)
        prompt = model.tok_encode(f"Question: {row['question']}\nAnswer:")
        for text, value in zip(row["choices"]["text"], values, strict=True):
            answer = model.tok_encode(f"Question: {row['question']}\nAnswer: {text}")[len(prompt) :]
            if len(answer) < 3:  # no more subsets than draws: exact, whatever the keys
                pair = Encoded(prompt=prompt, answer=answer, source="")
                assert value == pytest.approx(-float(likelihood_bound(model.lm, [pair], samples=6).nats), rel=1e-5)


def test_rolling_perplexity(model, offline):
    found = evaluated(model, "wikitext", offline("wikitext", "wikitext"))["results"]["wikitext"]
    page = ROWS["wikitext"][0]["page"]
    text = "And three more makes seven, of course. Be brief, please ."
    (value,) = model.loglikelihood_rolling(requests("loglikelihood_rolling", (text,)))
    assert found["byte_perplexity,none"] == pytest.approx(math.exp(-value / len(page.encode())))
    assert found["word_perplexity,none"] == pytest.approx(math.exp(-value / len(page.split())))


def test_generation(model, offline):
    found = evaluated(model, "gsm8k", offline("gsm8k", "gsm8k"), num_fewshot=0)
    sample = found["samples"]["gsm8k"][0]
    ((context, queried),) = sample["arguments"]
    assert context == "Question: Natalia sold 48/2 clips. How many?\nAnswer:"
    assert queried["until"] == ["Question:", "</s>", "<|im_end|>"]
    (text,) = model.generate_until(requests("generate_until", (context, queried)))
    assert sample["resps"] == [[text]]


def test_text_is_cut_at_a_stop_string_and_equal_requests_are_samples(model):
    sampling = {"do_sample": True, "temperature": 1.0, "max_gen_toks": 8}
    first, second, other = model.generate_until(
        requests("generate_until", ("It is", sampling), ("It is", sampling), ("Be", sampling))
    )
    assert first != second
    assert model.generate_until(requests("generate_until", ("Be", sampling), ("It is", sampling))) == [other, first]
    stop = first[2:4]
    (cut,) = model.generate_until(requests("generate_until", ("It is", {**sampling, "until": [stop]})))
    # The stop is part of what is asked, so that this is another sample of the same text only by its seed.
    assert stop not in cut
    assert first.startswith(cut)


def test_long_texts_are_scored_in_windows_every_token_once(model):
    short = UnmaskLM(model.lm, batch_size=3, draws=1, max_length=9)
    text = "You are a helpful assistant. Be brief, please."
    count = len(model.tok_encode(text, add_special_tokens=False))
    assert count > 9
    scored = []
    short._bounds = lambda pairs: scored.extend(pairs) or [-1.0] * len(pairs)
    (value,) = short.loglikelihood_rolling(requests("loglikelihood_rolling", (text,)))
    assert value == -len(scored)
    assert sum(len(pair.answer) for pair in scored) == count
    assert all(len(pair.prompt) >= 1 and len(pair.prompt) + len(pair.answer) <= 9 for pair in scored)
    assert [t for pair in scored for t in pair.answer] == model.tok_encode(text, add_special_tokens=False)


def test_whether_greedy_decoding_would_write_it(model):
    lm = model.lm
    prompt = "It is"
    ids = model.tok_encode(prompt)
    from unmask.generate import generate

    written = generate(lm, [ids], max_new_tokens=3, blocks="whole", stop="never").sequences[0][len(ids) :].tolist()
    wrong = [written[0], written[1], (written[2] + 1) % 20]
    pairs = [(("", ""), ids, written), (("", ""), ids, wrong)]
    assert [is_greedy for _, is_greedy in model._loglikelihood_tokens(pairs)] == [True, False]
    quick = UnmaskLM(lm, greedy=False, draws=6, batch_size=1)
    assert [is_greedy for _, is_greedy in quick._loglikelihood_tokens(pairs)] == [False, False]
    values = [[value for value, _ in m._loglikelihood_tokens(pairs)] for m in (model, quick)]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_scores_do_not_depend_on_what_else_is_asked(model):
    queried = requests(
        "loglikelihood", ("What is two", " plus two? It is four."), ("", "Be brief, please. It is four.")
    )
    both = model.loglikelihood(queried)
    assert model.loglikelihood(queried[1:])[0][0] == pytest.approx(both[1][0], rel=1e-5)
    assert model.loglikelihood(queried[:1])[0][0] == pytest.approx(both[0][0], rel=1e-5)


def test_a_start_token_stands_before_contexts_once(model):
    tokenizer = tokenizer_for(None)
    start = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", start)])
    starting = UnmaskLM(from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=1), tokenizer, device="cpu"))
    bare = starting.tok_encode("It is", add_special_tokens=False)
    assert start not in bare
    assert starting.tok_encode("It is") == starting.tok_encode("<s>It is") == [start, *bare]
    assert starting.prefix_token_id == start


def test_a_folder_by_name_and_mistakes(model, tmp_path):
    model.lm.save(tmp_path / "model")
    named = UnmaskLM.create_from_arg_string(
        f"pretrained={tmp_path / 'model'},draws=6,steps=4,block_size=4,order=blocks",
        {"batch_size": "2", "device": "cpu"},
    )
    assert named.decoder == {"block_size": 4, "steps": 4}
    pair = [(("", ""), [1, 2], [3, 4, 5, 6, 7, 8])]
    expected = likelihood_bound(
        model.lm,
        [Encoded(prompt=[1, 2], answer=[3, 4, 5, 6, 7, 8], source="")],
        order="blocks",
        block_size=4,
        samples=15,
    )
    wide = UnmaskLM(model.lm, draws=15, order="blocks", block_size=4)
    assert wide._loglikelihood_tokens(pair)[0][0] == pytest.approx(-float(expected.nats), rel=1e-5)
    assert torch.isfinite(torch.tensor(named._loglikelihood_tokens(pair)[0][0]))
    with pytest.raises(UserError, match="stepz: unknown key"):
        UnmaskLM(model.lm, stepz=4)
    with pytest.raises(UserError, match="batch_size: expected a number, found 'auto'"):
        UnmaskLM(model.lm, batch_size="auto")
    with pytest.raises(UserError, match="generation with top_k"):
        model.generate_until(requests("generate_until", ("It", {"top_k": 3})))
    with pytest.raises(UserError, match="less than max_length"):
        UnmaskLM(model.lm, max_length=8).generate_until(requests("generate_until", ("It", {})))
    with pytest.raises(UserError, match="expected an answer of at least one token"):
        model._loglikelihood_tokens([(("It", ""), [1], [])])
