"""One owner of a run's folder at a time; nobody's when the owner is gone, however it went."""

import json
import multiprocessing
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from unmask.errors import UserError
from unmask.runtime.runlock import is_empty, owned

HOLD = (
    "import sys, time; from pathlib import Path; from unmask.runtime.runlock import owned\n"
    "with owned(Path(sys.argv[1]), 'other'):\n"
    "    print('mine', flush=True)\n"
    "    time.sleep(60)\n"
)


@pytest.fixture
def holder(tmp_path):
    """Another process that owns ``run``."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "mine\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def is_free(folder):
    """Ask from another process."""
    code = HOLD.partition("    print")[0] + "    pass"
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "in use by process" in done.stderr
    return done.returncode == 0


def test_a_second_owner_is_told_who_the_first_is(tmp_path, holder):
    with pytest.raises(UserError) as error, owned(tmp_path / "run", "mine"):
        pass
    who = rf"process {holder.pid} on {re.escape(platform.node())} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(other\)"
    assert re.search(rf"run: in use by {who}; wait for it, or choose another --out$", str(error.value))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_lock_goes_with_its_owner(tmp_path, holder, how):
    holder.send_signal(how)
    holder.wait()
    with owned(tmp_path / "run", "mine"):
        assert json.loads((tmp_path / "run/.lock.json").read_text())["pid"] == os.getpid()
    assert not list((tmp_path / "run").iterdir())


def test_who_waits_gets_it(tmp_path, holder):
    threading.Timer(0.3, holder.kill).start()
    with owned(tmp_path / "run", "mine", wait=True):
        assert holder.wait() == -signal.SIGKILL


def test_new_and_empty_folders_may_be_owned_and_are_still_empty(tmp_path):
    for folder in (tmp_path / "deep/new", tmp_path):
        assert is_empty(folder) or folder == tmp_path
        with owned(folder, "mine"):
            assert is_empty(folder) or folder == tmp_path
            assert not is_free(folder)
        assert is_free(folder)
    (tmp_path / "deep/new/.hidden").touch()
    assert not is_empty(tmp_path / "deep/new")


def test_a_start_that_failed_leaves_no_folder(tmp_path):
    (tmp_path / "there").mkdir()
    for name in ("there", "a/b/c"):
        with pytest.raises(ZeroDivisionError), owned(tmp_path / name, "mine"):
            raise ZeroDivisionError
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]
    with pytest.raises(FileNotFoundError), owned(tmp_path / "run", "mine"):
        (tmp_path / "run/log.txt").write_text((tmp_path / "run/log.txt").touch() or (tmp_path / "none").read_text())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["log.txt"]


def test_a_refused_start_touches_nothing(tmp_path, holder):
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(UserError), owned(tmp_path / "run", "mine"):
        pass
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    assert not is_free(tmp_path / "run")


def test_the_owner_may_own_it_again_but_no_other_thread(tmp_path):
    found = []

    def try_it():
        try:
            with owned(tmp_path / "run", "thread"):
                found.append("owned")
        except UserError:
            found.append("refused")

    with owned(tmp_path / "run", "mine"):
        with owned(tmp_path / "run", "again"):
            pass
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
        assert not is_free(tmp_path / "run")
    try_it()
    assert found == ["refused", "owned"]


def test_a_fork_neither_holds_nor_releases(tmp_path):
    go, context = tmp_path / "go", multiprocessing.get_context("fork")

    def child():
        with pytest.raises(UserError), owned(tmp_path / "run", "child"):
            pass
        while not go.exists():
            time.sleep(0.05)

    with owned(tmp_path / "run", "mine"):
        process = context.Process(target=child)
        process.start()
        gone = os.fork()
        if not gone:
            os._exit(0)
        os.waitpid(gone, 0)
        assert not is_free(tmp_path / "run")
    assert process.is_alive()
    assert is_free(tmp_path / "run")  # though the fork of its owner lives on
    go.touch()
    process.join()
    assert process.exitcode == 0


def test_an_owner_elsewhere_is_named_with_what_to_delete(tmp_path):
    owner = {"pid": 7, "host": "far-away", "since": "yesterday", "what": "unmask sft"}
    (tmp_path / ".lock.json").write_text(json.dumps(owner))
    words = r"in use by process 7 on far-away since yesterday .* delete .*/\.lock\.json"
    with pytest.raises(UserError, match=words), owned(tmp_path, "mine"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".lock.json"]
    assert json.loads((tmp_path / ".lock.json").read_text()) == owner
    (tmp_path / ".lock.json").unlink()
    with owned(tmp_path, "mine"):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": [1]', "\udce9".encode("utf-8", "surrogateescape")])
def test_a_damaged_record_of_an_owner_that_is_gone_is_none(tmp_path, text):
    (tmp_path / ".lock.json").write_bytes(text.encode() if isinstance(text, str) else text)
    with owned(tmp_path, "mine"):
        assert json.loads((tmp_path / ".lock.json").read_text())["what"] == "mine"


@pytest.mark.parametrize("pid", [-1, 0, 10**30, None, "7", 2**31 - 2])
def test_a_record_of_one_that_is_gone_is_not_shown_as_the_owner(tmp_path, holder, pid):
    (tmp_path / "run/.lock.json").write_text(json.dumps({"pid": pid, "host": platform.node()}))
    with pytest.raises(UserError, match="in use by another process; wait for it"), owned(tmp_path / "run", "mine"):
        pass


def test_of_one_torchrun_only_the_first_owns(tmp_path, holder, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with owned(tmp_path / "run", "mine"):
        pass
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UserError, match="in use by process"), owned(tmp_path / "run", "mine"):
        pass


def test_what_is_no_folder_is_told(tmp_path):
    (tmp_path / "file").touch()
    for name in ("file", "file/below"):
        with pytest.raises(UserError, match=r"file.*; choose another --out"), owned(tmp_path / name, "mine"):
            pass
