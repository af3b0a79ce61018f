"""Components for unmask. Each module registers one; ``pyproject.toml`` names them."""
