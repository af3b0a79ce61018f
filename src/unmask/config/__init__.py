"""Configuration: dataclasses that YAML fills, names of components, YAML itself."""
