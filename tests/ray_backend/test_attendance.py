"""When no worker connects."""

from ddmlp.ray_backend.attendance import Attendance, Roll


def missed(*rolls: tuple[float, int]) -> list[bool]:
    attendance = Attendance(30)
    return [attendance.missed(Roll(alone, [], parts)) for alone, parts in rolls]


def test_simple():
    assert missed((0, 0), (29, 0), (30, 0), (31, 0), (59, 0), (60, 0)) == [False, False, True, False, False, True]


def test_one_was_connected():
    assert missed((30, 0), (29, 0), (30, 0)) == [True, False, True]


def test_data_are_fetched():
    assert missed((29, 1), (58, 2), (87, 3), (88, 3), (117, 3)) == [False, False, False, False, True]
