"""The page docs/scaling.md: its forecast, and the measurement that it has."""

from pathlib import Path

import msgspec
import pytest

from ddmlp.errors import ConfigError
from tools.benchmarks import scaling, scaling_measurement, shaped_network
from tools.benchmarks.played_arithmetic import Training
from tools.benchmarks.played_cluster import Cluster, Played
from tools.benchmarks.scaling import Forecast
from tools.benchmarks.scaling_measurement import CLUSTERS, LINKS, Cell, Measurement

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def measured() -> Measurement:
    """A measurement that is exactly as expected."""
    found = Measurement({"processor": "fast"}, {"400": 2e-11, "4000": 3e-11}, 4e-9, 1e-9, [])
    for link in LINKS:
        for cluster in CLUSTERS:
            seconds = scaling.forecast_seconds(found.model, link, *cluster)
            found.cells.append(Cell(link, *cluster, [seconds, 9 * seconds, seconds], 0))
    return found


def test_simple():
    """The page is made of the measurement in docs/."""
    record = msgspec.json.decode((DOCS / scaling.RECORD).read_bytes(), type=Measurement)
    assert scaling.page(record) == (DOCS / scaling.PAGE).read_text()


def test_traffic():
    """By hand: 794 rows of 448 numbers of 4 bytes; and 32 of these, divided."""
    array = 794 * 448 * 4 / 1e6
    row = scaling.traffic()[1]
    assert row == ["400", *(f"{amount:.1f} MB" for amount in (array, 32 * array, 16 * array, 8 * array))]


@pytest.mark.parametrize("link", LINKS)
def test_speeds(link: str, measured: Measurement):
    """More servers are faster for many workers; the size of the network hardly matters."""
    rows = [row for row in Forecast(measured).speeds() if row[0] == link]
    assert len(rows) == 9
    gains = {(row[1], row[2]): float(row[-1].split("(")[1].rstrip(")")) for row in rows}
    for hidden in ("400", "4,000", "40,000"):
        assert gains[hidden, "1"] < gains[hidden, "2"] < gains[hidden, "4"]
    for servers in "124":
        assert gains["400", servers] == pytest.approx(gains["40,000", servers], rel=0.1)


def test_smaller_gradients(measured: Measurement):
    """They raise the speed on slow links."""
    rows = [row[2:] for row in Forecast(measured).bits() if row[0] == "1 Gbit/s"]
    for row in rows:
        gains = [float(cell.split("(")[1].rstrip(")")) for cell in row]
        assert gains == sorted(gains)
        assert gains[0] < gains[-1]


def test_fewer_machines(measured: Measurement):
    """Workers that share machines need fewer arrays."""
    for row in Forecast(measured).relayed()[1:]:
        speeds = [float(cell.replace(",", "")) for cell in row[1::3]]
        assert speeds == sorted(speeds)
        assert speeds[0] < speeds[-1]


def test_ratios(measured: Measurement):
    """Of the median step to the forecast."""
    assert Forecast(measured).ratios == pytest.approx([1] * 2 * len(CLUSTERS))
    measured.cells[0].seconds = [2 * each for each in measured.cells[0].seconds]
    assert Forecast(measured).ratio("10 Gbit/s", 8, 1) == pytest.approx(0.5)
    assert Forecast(measured).measured()[1][4] == "0.50"


def test_slow_motion():
    """An array needs so much longer on the link that is played."""
    array, played = scaling.step_of(400).weights / 1.25e8, scaling.TRAINING.shape.size / scaling.RATE
    assert scaling.slow_motion("1 Gbit/s") == pytest.approx(played / array)


def test_delays(measured: Measurement, monkeypatch: pytest.MonkeyPatch):
    """Workers and servers wait for the recorded time, in slow motion; the steps are recorded in the cluster's time."""
    asked: list[Cluster] = []

    def played(_play: object, cluster: Cluster, _training: Training) -> Played:
        asked.append(cluster)
        return Played([5.0], 0.0, "", 0)

    monkeypatch.setattr(scaling_measurement, "in_process", played)
    cells = list(scaling_measurement.measure_cells(measured, "1 Gbit/s"))
    slower = scaling.slow_motion("1 Gbit/s")
    assert [(each.workers, each.servers, each.nodes) for each in asked] == CLUSTERS
    assert asked[0].microbatch == pytest.approx(slower * 128 * 794 * 448 * 2.5e-11)
    assert asked[0].gradient == pytest.approx(slower * 794 * 448 * 4e-9)
    assert asked[0].addition == pytest.approx(slower * 794 * 448 * 1e-9)
    assert cells[0].seconds == pytest.approx([5 / slower])


def test_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shaped_network, "why_not", lambda: "only root may")
    with pytest.raises(ConfigError, match="only root may"):
        scaling.main(["--measure", str(tmp_path), "--out", str(tmp_path)])
    monkeypatch.setattr(shaped_network, "why_not", lambda: "")
    with pytest.raises(ConfigError, match="no dataset train/"):
        scaling.main(["--measure", str(tmp_path), "--out", str(tmp_path)])
