"""Search: decoding a prompt in several rows."""

from unmask.decoding.search.best_of import BestOf
from unmask.decoding.search.smc import Smc

__all__ = ["BestOf", "Smc"]
