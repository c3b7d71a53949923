"""CSV files with wrong lines: the message names the file and the line, and nothing is written."""

import pytest

from tests.support.source_files import csv_names, refusal, some_rows, write_csv

ROWS = some_rows(20)
CSV_HEAD = ",".join(csv_names((2, 2))) + "\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CSV_HEAD, ["no rows"]),
        (CSV_HEAD + "1,2,3,4,5\n1,2,3,4\n", ["line 3", "Expected 5 columns, got 4"]),
        (CSV_HEAD + "1,2,3,4,5\n1,2,x,4,5\n", ["line 3: pixel1 is 'x'"]),
        (CSV_HEAD + "1,2,3,4,5\n1,2,3,4,\n", ["line 3: pixel3 is ''"]),
        (CSV_HEAD + "1,2,3,4,5\n1,2,3,4,256\n", ["line 3: pixel3 is 256", "0 to 255"]),
        (CSV_HEAD + "1,2,3,4,5\n-1,2,3,4,5\n", ["line 3: label is '-1'"]),
        (CSV_HEAD + "1,2,3,4,5\n999,2,3,4,5\n", ["line 3: the label is 999", "0 to 255"]),
        ("id," + CSV_HEAD + "1,1,2,3,4,5\n", ["line 1", "the column 'id'"]),
        (CSV_HEAD.replace("label", "digit") + "1,2,3,4,5\n", ["line 1: 0 columns are called label"]),
        (CSV_HEAD.replace("pixel3", "pixel4") + "1,2,3,4,5\n", ["line 1", "the column 'pixel4'"]),
        ("label,pixel0,pixel1\n1,2,3\n", ["2 columns of pixels", "square"]),
        ("1,2,3,4,5\n2,2,3,4,6\n", ["both the first and the last"]),
        ("1,2,3,4,5\n1,2,3,4,5\n", ["neither the first and the last", "label,pixel0"]),
        ("1;2;3;4;5\n2;2;3;4;5\n", ["line 1: found 1 values", "commas"]),
    ],
)
def test_simple(tmp_path, text, words):
    (tmp_path / "some.csv").write_text(text)
    message = refusal(tmp_path / "some.csv")
    assert [word for word in [f"{tmp_path}/some.csv", *words] if word not in message] == []


def test_fewer_classes(tmp_path):
    write_csv(tmp_path / "some.csv", ROWS, csv_names((4, 4)))
    assert "line 7: the label is 5, expected 0 to 4" in refusal(tmp_path / "some.csv", classes=5)
