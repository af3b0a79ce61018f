"""Access to the machine and to libraries: files, locks, manifests, paths, versions, memory, transformers."""
