import pytest
import torch
from small_checkpoints import answer, ar_folder, edit_json, llama_config, plain_tokenizer, random_model

from unmask.errors import UserError
from unmask.models import load
from unmask.models.tokens import add_mask, find_ends, find_mask

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


@pytest.mark.parametrize("spelling", ["<|mdm_mask|>", "<|mask|>", "<|MASK|>", "[MASK]", "<M>"])
def test_known_spellings_are_found(spelling):
    assert find_mask({}, plain_tokenizer("x1", spelling), token=None, id_=None) == 19


def test_the_tokenizers_own_mask_is_found():
    tokenizer = plain_tokenizer("<|hidden|>")
    assert find_mask({}, tokenizer, token=None, id_=None) is None
    tokenizer.mask_token = "<|hidden|>"
    assert find_mask({}, tokenizer, token=None, id_=None) == 18


def test_what_the_user_says_outranks_what_is_written():
    tokenizer = plain_tokenizer("<|mask|>", "<|other|>")
    config = {"mask_token_id": 3, "unmask": {"mask_id": 2}}
    assert find_mask(config, tokenizer, token="<|other|>", id_=None) == 19
    assert find_mask(config, tokenizer, token=None, id_=7) == 7
    assert find_mask(config, tokenizer, token=None, id_=None) == 2
    assert find_mask({"mask_token_id": 3}, tokenizer, token=None, id_=None) == 3
    assert find_mask({}, tokenizer, token=None, id_=None) == 18
    assert find_mask({"mask_token_id": None, "unmask": None}, tokenizer, token=None, id_=None) == 18


def test_two_choices_must_agree():
    tokenizer = plain_tokenizer("<|mask|>")
    assert find_mask({}, tokenizer, token="<|mask|>", id_=18) == 18
    with pytest.raises(UserError, match="has the id 18 but mask_id=4"):
        find_mask({}, tokenizer, token="<|mask|>", id_=4)
    with pytest.raises(UserError, match="needs a tokenizer"):
        find_mask({}, None, token="<|mask|>", id_=None)


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize(("rows", "added"), [(None, 1), (24, 0)])
def test_a_new_mask_takes_a_spare_row_or_a_new_one(tmp_path, tie, rows, added):
    folder = ar_folder(tmp_path / "base", rows=rows, tie_word_embeddings=tie)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    lm = load(folder)
    assert torch.equal(torch.get_rng_state(), before)
    assert lm.mask_id == 18
    assert lm.facts.added_rows == added
    assert lm.tokenizer.mask_token == "<|mask|>"
    assert lm.vocab_size == (rows or 19) == lm.model.config.vocab_size
    assert lm.model.config.mask_token_id == 18
    embedding, head = lm.model.get_input_embeddings().weight, lm.model.get_output_embeddings().weight
    assert (embedding is head) == tie
    for table in (embedding, head):
        mean, spread = table[:18].mean(0), table[:18].std()
        assert 0 < (table[18] - mean).norm() < 0.5 * spread * len(mean) ** 0.5
    torch.manual_seed(1)  # the start of the row is no matter of chance
    assert torch.equal(answer(load(folder)), answer(lm))
    lm.save(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert again.facts == lm.facts
    assert torch.equal(answer(again), answer(lm))


def test_trained_rows_are_left_alone(tmp_path):
    folder = ar_folder(tmp_path, tie_word_embeddings=False)
    plain = random_model(llama_config(18, tie_word_embeddings=False))
    lm = load(folder)
    assert torch.equal(lm.model.get_input_embeddings().weight[:18], plain.get_input_embeddings().weight)
    assert torch.equal(lm.model.get_output_embeddings().weight[:18], plain.get_output_embeddings().weight)


def test_a_name_for_the_new_mask_can_be_chosen(tmp_path):
    lm = load(ar_folder(tmp_path), mask_token="<|gap|>")
    assert lm.tokenizer.convert_ids_to_tokens(lm.mask_id) == "<|gap|>"


def test_a_mask_that_is_named_and_known_is_not_started_anew(tmp_path):
    folder = ar_folder(tmp_path, "<|reserved|>")
    row = random_model(llama_config(19)).get_input_embeddings().weight[18]
    lm = load(folder, mask_token="<|reserved|>")
    assert lm.mask_id == 18
    assert torch.equal(lm.model.get_input_embeddings().weight[18], row)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"mask_id": 18}, "below the embedding's 18 rows, found 18"),
        ({"mask_id": -1}, "below the embedding's 18 rows, found -1"),
        ({"mask_id": 17}, "17 is also the end-of-text token"),
        ({"mask_token": "<|endoftext|>"}, "17 is also the end-of-text token"),
    ],
)
def test_impossible_masks_are_refused(tmp_path, flags, message):
    with pytest.raises(UserError, match=message) as error:
        load(ar_folder(tmp_path), **flags)
    assert "\n" not in str(error.value)


def test_a_mask_that_is_the_padding_is_refused(tmp_path):
    tokenizer = plain_tokenizer("<|pad|>")
    tokenizer.pad_token = "<|pad|>"
    with pytest.raises(UserError, match="18 is also the padding token"):
        load(ar_folder(tmp_path, tokenizer=tokenizer), mask_id=18)


def test_without_a_tokenizer_the_mask_must_be_given(tmp_path):
    random_model(llama_config(20)).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="write mask_id"):
        load(tmp_path)
    lm = load(tmp_path, mask_id=19)
    assert lm.tokenizer is None
    assert (lm.eos_ids, lm.filler_id) == ((17,), 17)


def test_adding_needs_a_tokenizer():
    with pytest.raises(UserError, match="no tokenizer to add one to"):
        add_mask(random_model(llama_config(18)), None, None)


def test_the_end_of_a_turn_comes_first():
    tokenizer = plain_tokenizer("<|im_start|>", "<|im_end|>", chat_template=CHATML)
    ends = find_ends({}, {"eos_token_id": [19, 17]}, tokenizer, rows=20)
    assert ends.eos_ids == (19, 17)
    assert ends.filler_id == 17


def test_where_the_turn_end_is_the_eos_the_filler_is_found_by_name():
    tokenizer = plain_tokenizer("<|im_start|>", "<|im_end|>", eos="<|im_end|>", chat_template=CHATML)
    ends = find_ends({"eos_token_id": 19}, {}, tokenizer, rows=20)
    assert (ends.eos_ids, ends.filler_id) == ((19, 17), 17)


def test_without_a_chat_template_the_eos_is_all():
    ends = find_ends({"eos_token_id": 17, "pad_token_id": 0}, {}, plain_tokenizer("<|im_end|>"), rows=19)
    assert (ends.eos_ids, ends.filler_id) == ((17,), 17)


def test_without_a_tokenizer_the_configuration_decides():
    ends = find_ends({"eos_token_id": [5, 6], "pad_token_id": 2}, {"eos_token_id": 7}, None, rows=10)
    assert (ends.eos_ids, ends.filler_id) == ((7, 5, 6), 7)


def test_a_default_end_of_another_vocabulary_is_passed_over():
    assert find_ends({"eos_token_id": 50256}, {}, plain_tokenizer(), rows=18).eos_ids == (17,)
    with pytest.raises(UserError, match="found no end-of-text token"):
        find_ends({"eos_token_id": 50256}, {}, None, rows=18)


@pytest.mark.parametrize("template", ["{{ raise_exception('roles must alternate') }}", "<|user|> says nothing"])
def test_a_template_that_raises_or_drops_the_answer_is_passed_over(template):
    tokenizer = plain_tokenizer("<|user|>", chat_template=template)
    assert find_ends({}, {}, tokenizer, rows=19).eos_ids == (17,)


def test_generation_config_names_ends(tmp_path):
    folder = ar_folder(tmp_path)
    edit_json(folder / "generation_config.json", eos_token_id=[17, 5])
    assert load(folder).eos_ids == (17, 5)
