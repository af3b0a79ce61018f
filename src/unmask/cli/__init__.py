"""The command line: one file a command, which parses, calls one library function, and shows the result."""
