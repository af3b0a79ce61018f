"""Several processes share an evaluation: each takes its share of the problems, all get all answers."""

import os
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import distributed

from unmask.errors import UserError

T = TypeVar("T")


def join() -> str | None:
    """Join the other processes of a ``torchrun``; return this process's device, None where it is alone.

    Answers are gathered as Python objects over gloo, which every machine has.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return None
    if not distributed.is_initialized():
        distributed.init_process_group("gloo")
    return f"cuda:{os.environ['LOCAL_RANK']}" if torch.cuda.is_available() else "cpu"


def leave() -> None:
    """Leave the process group, if this process is in one."""
    if together():
        distributed.destroy_process_group()


def together() -> bool:
    """Return whether there are other processes."""
    return distributed.is_available() and distributed.is_initialized()


def rank() -> int:
    """Return the index of this process, from 0; 0 where it is alone."""
    return distributed.get_rank() if together() else 0


def world() -> int:
    """Return how many processes there are."""
    return distributed.get_world_size() if together() else 1


def wait() -> None:
    """Wait until all processes have come here."""
    if together():
        distributed.barrier()


def gather(mine: list[T]) -> list[T]:
    """Return the lists of all processes one after the other, in every process."""
    if not together():
        return mine
    parts: list[list[T]] = [[] for _ in range(world())]
    distributed.all_gather_object(parts, mine)
    return [item for part in parts for item in part]


def in_the_first(work: Callable[[], object]) -> None:
    """Run ``work`` in the first process only; a ``UserError`` there is raised in all."""
    mistake: list[str | None] = [None]
    if rank() == 0:
        try:
            work()
        except UserError as error:
            mistake = [str(error)]
    if together():
        distributed.broadcast_object_list(mistake)
    if mistake[0] is not None:
        raise UserError(mistake[0])
