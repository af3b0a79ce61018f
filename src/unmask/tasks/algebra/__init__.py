"""What a mathematical answer says, from its text to what it is equal to; ``../equal.py`` is the way in.

``spelling.py`` writes an answer as plain LaTeX, in the caller's process. The rest needs sympy and runs in a process of
its own (``../verifier.py``): ``tokens.py``, ``expression.py`` and ``units.py`` read the parts of an answer,
``answers.py`` the whole, ``compare.py`` and ``values.py`` compare.
"""
