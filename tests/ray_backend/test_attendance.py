"""Workers that do not connect."""

from ddmlp.ray_backend.attendance import Attendance, Roll


def missing(*rolls: tuple[float, list[int], int], working: tuple[int, ...] = (1, 2)) -> list[list[int]]:
    attendance = Attendance(30)
    return [attendance.missing(Roll(clock, connected, [], parts), working) for clock, connected, parts in rolls]


def test_simple():
    assert missing((5, [], 0), (34, [], 0), (35, [], 0)) == [[], [], [1, 2]]


def test_others_are_connected():
    assert missing((0, [1], 0), (599, [1], 0), (600, [1], 0), (601, [], 0)) == [[], [], [2], [2]]


def test_was_connected():
    assert missing((0, [], 0), (29, [1, 2], 0), (30, [2], 0), (59, [], 0), (60, [], 0)) == [[], [], [], [], [1]]


def test_another_server():
    assert missing((100, [], 0), (3, [], 0), (32, [], 0), (33, [], 0)) == [[], [], [], [1, 2]]


def test_data_are_fetched():
    assert missing((0, [], 0), (29, [], 1), (58, [], 2), (87, [], 2), (88, [], 2)) == [[], [], [], [], [1, 2]]


def test_replaced():
    """It is not working any more, and another one has all the time."""
    attendance = Attendance(30)
    rolls = [(0.0, [1]), (30.0, [1]), (59.0, [2]), (60.0, [2])]
    assert [attendance.missing(Roll(clock, [], [], 0), working) for clock, working in rolls] == [[], [1], [], []]
