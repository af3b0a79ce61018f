"""``unmask push``: the real client uploads to a hub on this machine, from which the model is loaded by its name."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard, constants

import hub_server
import unmask
from unmask.errors import UserError
from unmask.models.lora import LoraSpec
from unmask.runtime.sealed import MANIFEST, fault_of, seal

NAME = "ann/mine"


@pytest.fixture
def hub():
    with hub_server.running() as hub:
        yield hub


@pytest.fixture
def online(hub, monkeypatch):
    """Let the client of this process reach the hub; it reads these settings when it is imported."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the server has LFS only
    monkeypatch.setenv("HF_TOKEN", "good")
    return hub


@pytest.fixture
def folder(models, tmp_path):
    """A sealed model folder, as a run leaves it."""
    folder = Path(shutil.copytree(models.chat, tmp_path / "runs/mine/model"))
    seal(folder)
    return folder


@pytest.fixture
def push(run, hub):
    def push(*arguments):
        return run("push", *arguments, "--endpoint", hub.url)

    return push


def errors_of(result):
    assert result.exit_code == 2, result.output
    return [line for line in result.stderr.splitlines() if line.startswith("error: ")]


def test_what_is_there_afterwards_is_what_was_here(push, online, folder):
    result = push(folder, NAME, "--message", "My words")
    assert result.exit_code == 0, result.output
    there = online.files(NAME)
    here = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert there.keys() == here.keys()
    changed = {"README.md", MANIFEST}
    assert {name: there[name] for name in there if name not in changed} == {
        name: here[name] for name in here if name not in changed
    }
    assert len(there["model.safetensors"]) >= hub_server.LARGE  # so that LFS was tried, too
    assert "POST /ann/mine.git/info/lfs/objects/batch" in online.asked
    (commit,) = online.repositories[NAME].branches["main"]
    assert commit.message == "My words"
    assert f"{NAME} holds it now: {online.url}/{NAME}/commit/{commit.id}" in result.stdout
    for name, content in there.items():
        assert re.search(rf"^  {re.escape(name)} \(", result.stderr, re.MULTILINE), name
        assert content


def test_the_card_there_names_the_model_by_its_name_there(push, online, folder, tmp_path):
    push(folder, NAME)
    card = online.files(NAME)["README.md"].decode()
    assert f"unmask generate {NAME} --prompt" in card
    assert f'lm = unmask.load("{NAME}")' in card
    assert ModelCard(card).data.library_name == "unmask"
    assert NAME not in (folder / "README.md").read_text()  # the folder here is left alone
    copy = tmp_path / "copy"
    copy.mkdir()
    for name, content in online.files(NAME).items():
        (copy / name).write_bytes(content)
    assert fault_of(copy) is None  # the manifest is that of the uploaded files


def test_it_loads_by_its_name_from_there(push, online, folder, tmp_path):
    """A child, as the client reads the address of the hub when it is imported."""
    push(folder, NAME)
    script = (
        "import sys, torch, unmask\n"
        "lm = unmask.load('ann/mine', device='cpu')\n"
        "torch.save({'source': lm.source, 'weights': lm.model.state_dict()}, sys.argv[1])\n"
    )
    environment = {
        **os.environ, "HF_ENDPOINT": online.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "cache"), "HF_TOKEN": "good",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "found.pt")],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, here = torch.load(tmp_path / "found.pt"), unmask.load(folder, device="cpu").model.state_dict()
    assert found["source"] == NAME
    assert found["weights"].keys() == here.keys()
    assert all(here[name].equal(weight) for name, weight in found["weights"].items())


def test_private_branch_and_json(push, online, folder):
    result = push(folder.parent, NAME, "--private", "--revision", "try", "--json")  # the folder of a run
    done = json.loads(result.stdout)
    assert (done["name"], done["revision"]) == (NAME, "try")
    assert done["files"] == {name: len(content) for name, content in online.files(NAME, "try").items()}
    assert online.files(NAME) == {}
    assert online.repositories[NAME].private


def test_private_does_not_pass_silently_over_a_public_repository(run, online, folder):
    online.repositories[NAME] = hub_server.Repository()
    (line,) = errors_of(run("push", folder, NAME, "--private", "--endpoint", online.url))
    assert "is there and public" in line
    assert online.files(NAME) == {}


def test_a_second_push_of_the_same_files_makes_no_second_commit_of_them(push, online, folder):
    push(folder, NAME)
    push(folder, NAME)
    first, *others = online.repositories[NAME].branches["main"]
    assert all(other.files == first.files for other in others)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_damaged_folder_is_not_uploaded(refused, online, folder, name):
    file = folder / name
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused("push", folder, NAME, "--endpoint", online.url, says=f"damaged: {name} is not what was written")
    assert online.asked == []


def test_weights_that_were_cut_off_are_refused_without_a_manifest(refused, online, folder):
    (folder / MANIFEST).unlink()
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    refused("push", folder, NAME, "--endpoint", online.url, says="model.safetensors")
    assert online.asked == []


def test_a_card_that_was_edited_is_no_damage(push, online, folder):
    with (folder / "README.md").open("a") as file:
        file.write("\nMy own words.\n")
    assert push(folder, NAME).exit_code == 0
    assert b"My own words." in online.files(NAME)["README.md"]


def test_refusals_of_the_hub_are_one_line_each(push, online, folder, monkeypatch):
    (line,) = errors_of(push(folder, "somebody/mine"))
    assert "the hub said 403: You don't have the rights" in line
    assert "a token that may write there" in line
    monkeypatch.setenv("HF_TOKEN", "bad")
    (line,) = errors_of(push(folder, NAME))
    assert "the hub said 401" in line
    assert "HF_TOKEN=… with a token that may write" in line
    (line,) = errors_of(push(folder, "no/such/name"))
    assert "expected the name of a repository, owner/name, found 'no/such/name'" in line
    assert online.repositories == {}


def test_no_network_and_offline_are_one_line_each(run, online, folder, monkeypatch):
    (line,) = errors_of(run("push", folder, NAME, "--endpoint", "http://127.0.0.1:9"))
    assert "cannot be written at http://127.0.0.1:9: " in line
    assert "check the network" in line
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (line,) = errors_of(run("push", folder, NAME, "--endpoint", online.url))
    assert "HF_HUB_OFFLINE is set; unset it" in line


def test_what_is_no_folder_is_refused(refused, tmp_path):
    refused("push", "nowhere", NAME, says="found nothing at 'nowhere'")
    (tmp_path / "a.gguf").touch()
    refused("push", "a.gguf", NAME, says="upload it with: hf upload ann/mine a.gguf")


def test_a_model_in_memory_is_saved_and_uploaded(online, models):
    lm = unmask.load(models.blocks, device="cpu")
    done = unmask.push_to_hub(lm, "ann/blocks", endpoint=online.url, token="good")
    files = online.files(done.name)
    assert json.loads(files["config.json"])["model_type"] == "unmask"  # the guard stays
    assert files["README.md"].decode().split("\n# ")[1].startswith("blocks\n")
    assert files["model.safetensors"] == (Path(models.blocks) / "model.safetensors").read_bytes()


def test_adapters_say_that_their_base_is_a_folder_here(online, models, tmp_path):
    lm = unmask.load(models.chat, device="cpu")
    adapters = unmask.add_lora(lm, LoraSpec(rank=2)).save(tmp_path / "adapters")
    told = []
    unmask.push_to_hub(adapters, "ann/adapters", endpoint=online.url, tell=told.append)
    assert any("the base of these adapters is the folder" in line for line in told), told
    assert "adapter_model.safetensors" in online.files("ann/adapters")


def test_an_export_is_pushed_with_the_line_that_downloads_it(run, push, online, models, tmp_path):
    plain = tmp_path / "served"
    assert run("export", models.digits, plain, "--to", "llada").exit_code == 0
    assert push(plain, "ann/served").exit_code == 0
    files = online.files("ann/served")
    assert files["config.json"] == (plain / "config.json").read_bytes()
    assert b"hf download ann/served --local-dir served" in files["README.md"]
    assert ModelCard(files["README.md"].decode()).data.pipeline_tag == "text-generation"


def test_a_checkpoint_is_pushed_without_the_state_of_its_run(push, online, folder):
    (folder / "optimizer.pt").write_bytes(b"0" * 10)
    (folder / "trainer_state.json").write_text("{}")
    seal(folder)
    push(folder, NAME)
    assert not {"optimizer.pt", "trainer_state.json"} & online.files(NAME).keys()
    assert "optimizer.pt" not in json.loads(online.files(NAME)[MANIFEST])


def test_python_raises_user_errors(online, folder):
    with pytest.raises(UserError, match="the hub said 401"):
        unmask.push_to_hub(folder, NAME, endpoint=online.url, token="bad")
