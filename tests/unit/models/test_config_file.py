"""What ``read_config_file`` says of the keys that it leaves out."""

import json
import logging

import pytest

from unmask.models.config_file import read_config_file


@pytest.mark.parametrize(
    ("key", "says"),
    [("_model_name_or_path", None), ("_commit_hash", None), ("_of_another", "_of_another left out")],
)
def test_the_name_that_a_gguf_file_leaves_in_a_config_is_no_news(tmp_path, caplog, key, says):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", key: "Some model"}))
    with caplog.at_level(logging.WARNING):
        assert read_config_file(tmp_path) == {"model_type": "llama"}
    assert bool(caplog.text) == bool(says)
    assert (says or "") in caplog.text
