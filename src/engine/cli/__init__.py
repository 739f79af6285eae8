"""The `headrace` command. Modules here import nothing heavy before a command needs it."""
