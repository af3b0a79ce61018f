"""From the text of a mathematical answer to what it is equal to; ``tasks/equal.py`` is the way in.

``notation.py`` writes an answer as plain LaTeX, in the caller's process. The rest needs sympy and runs in a process of
its own (``tasks/verifier.py``): ``tokens.py``, ``expression.py`` and ``units.py`` read the parts of an answer,
``answers.py`` the whole, ``compare.py`` and ``values.py`` compare.
"""
