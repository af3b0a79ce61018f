"""What holds the package to its annotations in the tests: beartype, to which a whole number is a float (PEP 484)."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
