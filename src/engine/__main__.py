# Lets `python -m engine` stand for the `headrace` command.
"""Entry point of the package."""

from engine.cli.main import run

if __name__ == "__main__":
    run()
