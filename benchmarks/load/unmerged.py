# Owns the server as it would be without merging: rows go into files of the shortest window, and stay
# there. What is measured with it shows what merging is for.
"""`headrace serve` that never merges files: python -m load.unmerged serve ..."""

from engine.cli.main import run
from engine.persist import planner
from engine.persist.compactor import Compactor

if __name__ == "__main__":
    planner.window_for = lambda _times, levels: levels[0]
    Compactor.compact = lambda _self: False
    run()
