"""What the program needs of the machine and of its libraries: files, locks, seals, paths, versions, memory."""
