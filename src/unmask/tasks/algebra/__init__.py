"""What a mathematical answer says: one spelling (``spelling.py``), its parts (``reader.py``), units, and equality.

``equal.py`` is the way in. ``spelling.py`` runs in the caller's process, all that needs sympy in a process of its own
(``../verifier.py``).
"""
