"""Uploads a saved model to a hub: only whole folders, with the card's commands under the new name."""

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

from unmask.errors import UserError, shorten
from unmask.models.adapter import adapter_weights
from unmask.models.card import CARD, with_download, with_name
from unmask.models.checkpoints import ADAPTER_CONFIG, Checkpoint, locate, read_json, weight_files
from unmask.models.loaded import LoadedModel
from unmask.models.weights import read_headers
from unmask.runtime.foreign import foreign, reason_of
from unmask.runtime.sealed import MANIFEST, fault_of, manifest_of

LOG = logging.getLogger(__name__)
_STATE = ("optimizer", "scheduler", "rng_state", "trainer_state", "totals.json", "best.json", "training_args")
"""Beginnings of the names of files in a checkpoint that only going on with the run needs."""
_MAIN = "main"
_REMEDIES = {
    401: "write HF_TOKEN=… with a token that may write, or log in with: hf auth login",
    403: "write an owner that you are, or a token that may write there",
}
"""Status of the hub's refusal -> what to do."""


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What was uploaded.

    Args:
        name: of the repository, ``owner/name``.
        url: of the commit.
        commit: its id.
        revision: the branch.
        files: name -> bytes.
    """

    name: str
    url: str
    commit: str
    revision: str
    files: dict[str, int]


def push_to_hub(
    model: LoadedModel | str | Path,
    name: str,
    *,
    private: bool = False,
    revision: str | None = None,
    commit_message: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    tell: Callable[[str], None] | None = None,
) -> Pushed:
    """Upload a model to a hub, in one commit; the repository is made if it is not there.

    Args:
        model: a loaded model, which is saved first, or the folder of a model, an adapter, an export or a run.
        name: of the repository, ``owner/name``.
        private: make a repository that only its owner sees.
        revision: branch to write to, made if it is not there; None: ``main``.
        commit_message: None: one that names unmask.
        token: of the hub; None: that of ``HF_TOKEN``, or of the login.
        endpoint: address of the hub; None: that of ``HF_ENDPOINT``, or https://huggingface.co.
        tell: called with a line on what is uploaded, and on what others may miss; None: it is logged.

    Returns:
        Where it is now.

    Raises:
        UserError: the folder is damaged or holds no model, there is no token, no right to write, or no network.
    """  # noqa: DOC503
    if isinstance(model, LoadedModel):
        with tempfile.TemporaryDirectory() as folder:
            where = locate(model.save(Path(folder) / "model"))
            return _upload(where, name, private, revision, commit_message, token, endpoint, tell, title=name)
    if not Path(model).expanduser().exists():
        raise UserError(f"expected the folder of a model or of its run, found nothing at '{shorten(model, 120)}'")
    where = locate(model)
    if where.kind == "gguf":
        raise UserError(f"expected a folder, found the file '{model}'; upload it with: hf upload {name} {model}")
    return _upload(where, name, private, revision, commit_message, token, endpoint, tell, title=None)


def _upload(  # noqa: PLR0917
    where: Checkpoint,
    name: str,
    private: bool,
    revision: str | None,
    message: str | None,
    token: str | None,
    endpoint: str | None,
    tell: Callable[[str], None] | None,
    *,
    title: str | None,
) -> Pushed:
    """Check a folder, make the repository, and upload; see ``push_to_hub``."""
    tell = tell or LOG.info
    _check_whole(where)
    api = HfApi(endpoint=endpoint, token=token, library_name="unmask")
    contents = _contents(where, name, None if title is None else title.rpartition("/")[2])
    sizes = {file: len(found) if isinstance(found, bytes) else found.stat().st_size for file, found in contents.items()}
    tell(f"{len(sizes)} files, {_shown(sum(sizes.values()))}, to {api.endpoint}/{name}:")
    for file, size in sizes.items():
        tell(f"  {file} ({_shown(size)})")
    for remark in _remarks(where):
        tell(f"note: {remark}")
    with _hub_errors(name, str(api.endpoint)), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("ignore")  # the client's own, on how it calls its libraries
        warnings.simplefilter("always", UserWarning)  # the hub's, on the card
        repository = api.create_repo(name, private=private or None, exist_ok=True, repo_type="model")
        full = repository.repo_id
        if private and not api.repo_info(full).private:
            raise UserError(
                f"'{full}' is there and public; --private is for new repositories: make it private in its settings, or "
                "choose another name"
            )
        if revision not in (None, _MAIN):
            api.create_branch(full, branch=str(revision), exist_ok=True)
        commit = api.create_commit(
            full, [CommitOperationAdd(file, found) for file, found in contents.items()],
            commit_message=message or "Upload a masked diffusion language model with unmask",
            revision=revision, repo_type="model",
        )  # fmt: skip
    for warning in warned:
        tell(f"note: {shorten(warning.message)}")
    return Pushed(name=full, url=commit.commit_url, commit=commit.oid, revision=revision or _MAIN, files=sizes)


def _check_whole(where: Checkpoint) -> None:
    """Check a folder against its manifest, and the sizes that its weights state against their files."""
    folder = where.folder
    if (folder / MANIFEST).is_file() and (fault := fault_of(folder, but_for=[CARD])):
        raise UserError(
            f"{folder}: damaged: {fault}; nothing was uploaded; train or copy it again, or delete {MANIFEST} if the "
            "files were changed on purpose"
        )
    read_headers([adapter_weights(where)] if where.kind == "adapter" else weight_files(folder, allow_pickle=False))


def _contents(where: Checkpoint, name: str, title: str | None) -> dict[str, Path | bytes]:
    """Return the files to upload by their names there; what is changed for the upload as bytes."""
    folder = where.folder
    found: dict[str, Path | bytes] = {}
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder)
        is_hidden = any(piece.startswith((".", "__")) for piece in inside.parts)
        if file.is_file() and not is_hidden and not file.name.startswith(_STATE) and file.name != MANIFEST:
            found[inside.as_posix()] = file
    if isinstance(card := found.get(CARD), Path):
        text = with_name(card.read_text(encoding="utf-8", errors="replace"), title, command=name)
        found[CARD] = with_download(text, folder.resolve().name, name).encode()
    if (folder / MANIFEST).is_file():
        found[MANIFEST] = manifest_of(found).encode()
    return found


def _remarks(where: Checkpoint) -> Iterator[str]:
    """Yield what people who download the folder may miss, or should not learn."""
    if where.kind == "adapter":
        base = read_json(where.folder / ADAPTER_CONFIG).get("base_model_name_or_path")
        if isinstance(base, str) and Path(base).is_absolute():
            yield f"the base of these adapters is the folder {shorten(base)}: others have to be told which model it is"
    source = (read_json(where.folder / "config.json").get("unmask") or {}).get("source")
    if isinstance(source, str) and Path(source).is_absolute():
        yield f"config.json tells the folder that the model came from, {shorten(source)}"
    if not (where.folder / CARD).is_file():
        yield f"there is no {CARD}, which tells people what the model is"


@contextmanager
def _hub_errors(name: str, endpoint: str) -> Iterator[None]:
    """Turn what a hub refuses into a ``UserError`` of one line that says what to do."""
    what = f"'{shorten(name, 100)}' cannot be written at {endpoint}"
    with foreign(what, "check the network, and the address of the hub (--endpoint, HF_ENDPOINT)"):
        try:
            yield
        except HFValidationError as error:
            raise UserError(f"expected the name of a repository, owner/name, found '{shorten(name, 100)}'") from error
        except OfflineModeIsEnabled as error:
            raise UserError(f"{what}: HF_HUB_OFFLINE is set; unset it") from error
        except HfHubHTTPError as error:
            code = None if error.response is None else error.response.status_code
            said = f"the hub said {code}: {shorten(error.server_message or reason_of(error), 160)}"
            remedy = _REMEDIES.get(code or 0, "is the name right?")
            raise UserError(f"{what}: {said}; {remedy}") from error
        except RuntimeError as error:  # of a file that was not uploaded; why is told by its cause
            raise UserError(f"{what}: {reason_of(error)} ({reason_of(error.__cause__ or error)}); try again") from error


def _shown(size: int) -> str:
    """Return a number of bytes for people.

    >>> _shown(900), _shown(2_500_000)
    ('900 bytes', '2.5 MB')
    """
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
