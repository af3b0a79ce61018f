"""Several processes share an evaluation: each takes its part of the problems, all get all answers."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import distributed

from unmask.errors import UserError

T = TypeVar("T")


def join() -> str | None:
    """Join the other processes of a ``torchrun``; return the device of this one, None where it is alone.

    Answers are gathered as Python objects over gloo, which every machine has.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return None
    if not distributed.is_initialized():
        distributed.init_process_group("gloo")
    return f"cuda:{os.environ['LOCAL_RANK']}" if torch.cuda.is_available() else "cpu"


def leave() -> None:
    """Take leave of the others."""
    if together():
        distributed.destroy_process_group()


def together() -> bool:
    """Say whether there are other processes."""
    return distributed.is_available() and distributed.is_initialized()


def rank() -> int:
    """Return the number of this process; 0 where it is alone."""
    return distributed.get_rank() if together() else 0


def world() -> int:
    """Return how many processes there are."""
    return distributed.get_world_size() if together() else 1


def wait() -> None:
    """Wait for the others."""
    if together():
        distributed.barrier()


def gather(mine: list[T]) -> list[T]:
    """Put the lists of all processes one after the other; every process gets the whole."""
    if not together():
        return mine
    parts: list[list[T]] = [[] for _ in range(world())]
    distributed.all_gather_object(parts, mine)
    return [item for part in parts for item in part]


def in_the_first(work: Callable[[], Any]) -> None:
    """Do something in the first process; a user's mistake there is raised in all."""
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
