"""The tables of the report."""

import json
from dataclasses import replace

from msgspec import structs

from ddmlp.config import TrainConfig
from ddmlp.reporting import facts
from ddmlp.reporting.summary import read_summary


def test_simple(runs):
    found = json.loads((runs / "plain" / "result.json").read_bytes())
    told = facts.result(read_summary(runs / "plain"))
    assert told["weights sha256"] == found["weights_sha256"]
    assert told["chain"] == found["chain"]
    assert told["test error"] == f"{found['test_error']:.2%} ({round(1000 * found['test_error'])} of 1,000 rows)"
    assert told["rows trained on"] == "8,000 in 80 steps"
    assert told["speed"] == f"{found['rows_per_second']:,.0f} rows/s"
    assert told["state"] == "finished"


def test_compared():
    found = facts.compared([{"a": "1", "b": "2"}, {"a": "1", "c": "4"}])
    assert found == [("a", ["1", "1"]), ("b", ["2", ""]), ("c", ["", "4"])]
    assert facts.compared([{}]) == []


def test_settings(runs):
    found = json.loads((runs / "plain" / "result.json").read_bytes())
    told = facts.settings(read_summary(runs / "plain"))
    assert {*TrainConfig.names()} <= told.keys()
    assert (told["hidden"], told["workers"], told["dataset sha256"]) == ("16", "0", found["dataset_sha256"])
    assert told["numpy"] == found["versions"]["numpy"]


def test_servers(runs):
    summary = read_summary(runs / "plain")
    assert "servers" not in facts.settings(summary)
    several = replace(summary, result=structs.replace(summary.result, workers=4, servers=2))
    assert facts.settings(several)["servers"] == "2"
    assert several.command.endswith("--workers 4 --servers 2")


def test_prequential(runs):
    found = json.loads((runs / "stream" / "result.json").read_bytes())["prequential"]
    assert f"{found['overall']:.2%} of all" in facts.result(read_summary(runs / "stream"))["prequential error"]


def test_time(runs):
    told = facts.time(read_summary(runs / "late"))
    assert told["most units in flight"] == "3"
    assert "sessions" not in told
    assert len(told) == 7
