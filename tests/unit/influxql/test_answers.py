"""Answers to InfluxQL are those that InfluxDB 1.6.7 gave; tests/support/influxd.py recorded them."""

import json

from tests.support.influxd import DIRECTORY
from tests.unit.influxql import answers


def test_recorded_answers():
    engine = answers.engine()
    lines = (DIRECTORY / "answers.jsonl").read_text().splitlines()
    recorded = [json.loads(line) for line in lines]
    assert len(recorded) > 190
    wrong = [
        case["q"]
        for case in recorded
        if not answers.is_same(answers.ask(engine, case["q"]), case["results"])
    ]
    assert wrong == []
