"""The faults of scenarios."""

import math
from collections.abc import Callable, Sequence

from tests.simulation.cluster import MOST, Cluster
from tests.simulation.scheduler import Action, Process
from tests.simulation.strangers import Stranger
from tests.simulation.worker import hello

PAUSES = (0.05, 1.0, 8.0)  # seconds
PARTITIONS = (0.1, 3.0, 20.0)
MOMENTS = 12  # about as many as a checkpoint has


def kill_worker(cluster: Cluster) -> None:
    if process := _some_worker(cluster):
        cluster.world.kill(process)
        cluster.network.fired.add(f"kill {_kind(process)}")


def pause_worker(cluster: Cluster) -> None:
    """A worker does nothing for a while, or until it is killed; its system still acknowledges what it is sent."""
    if process := _some_worker(cluster):
        _pause(cluster, process, (*PAUSES, math.inf))
        cluster.network.fired.add(f"pause {_kind(process)}")


def cut(cluster: Cluster) -> None:
    """A connection breaks, with all that is on its way."""
    if ends := cluster.network.connections():
        cluster.draw.choice(ends).break_off("Connection reset by peer")
        cluster.network.fired.add("cut")


def damage(cluster: Cluster) -> None:
    """A bit flips in a message."""
    if ends := cluster.network.connections():
        end = cluster.draw.choice(ends)
        pipe = cluster.draw.choice((end.incoming, end.outgoing))
        assert pipe is not None
        pipe.damage = cluster.draw.randint(1, 4)


def partition(cluster: Cluster) -> None:
    """Nothing passes between a host and the server for a while, in one direction or both."""
    if hosts := _far_hosts(cluster):
        both = cluster.draw.choice((None, True, False))
        cluster.network.partition(
            cluster.draw.choice(hosts),
            cluster.draw.choice(PARTITIONS),
            sent=both is not False,
            received=both is not True,
        )


def lose_host(cluster: Cluster) -> None:
    """A host vanishes without closing its connections. Its workers are started elsewhere."""
    if hosts := _far_hosts(cluster):
        host = cluster.draw.choice(hosts)
        cluster.lost_hosts.add(host)
        cluster.network.partition(host, math.inf, sent=True, received=True)
        for process in [each for each in cluster.scheduler.processes if each.host == host]:
            process.paused_until = math.inf
            cluster.scheduler.after(30.0, lambda process=process: cluster.world.kill(process))
        cluster.network.fired.add("lose host")


def kill_server(cluster: Cluster) -> None:
    _at_some_moment(cluster, lambda: _end_server(cluster, power=False))


def lose_power(cluster: Cluster) -> None:
    """The server's host loses its power, and its disk what was not synced. Its other processes end, too."""

    def end() -> None:
        for process in [each for each in cluster.scheduler.processes if each.host == "here" and each.name != "server"]:
            cluster.world.kill(process)
        _end_server(cluster, power=True)

    _at_some_moment(cluster, end)


def pause_server(cluster: Cluster) -> None:
    """A server does nothing for a while; one of a slice, perhaps, until it is killed."""
    if cluster.server is not None:
        process = _some_server(cluster)
        coordinator = process is cluster.server
        _pause(cluster, process, PAUSES if coordinator else (*PAUSES, math.inf))
        cluster.network.fired.add("pause server" if coordinator else "pause server of a slice")


def join(cluster: Cluster) -> None:
    """Another worker joins."""
    cluster.wanted = min(MOST, cluster.wanted + 1)
    cluster.start_worker()
    cluster.network.fired.add("join")


def leave(cluster: Cluster) -> None:
    """A worker leaves, and is not replaced."""
    if cluster.wanted > 1:
        cluster.wanted -= 1
        kill_worker(cluster)
        cluster.network.fired.add("leave")


def stop(cluster: Cluster) -> None:
    """The command is asked to stop, and the run is resumed later."""
    cluster.stopping = True


def bad_worker(cluster: Cluster) -> None:
    cluster.start_worker(damaged=True)
    cluster.network.fired.add("bad worker")


def stranger(cluster: Cluster) -> None:
    """A client connects that is no good worker."""
    if (endpoint := cluster.endpoint) is None:
        return
    number, job, dataset = cluster.number(), cluster.job, cluster.dataset
    host = cluster.draw.choice(("here", cluster.new_host()))
    far, taken = host != "here", [*cluster.serving.pool.stats.answered]
    targets = [(endpoint.far if far else endpoint.local, taken)]
    for each, address in zip(cluster.slices.running, endpoint.servers, strict=True):
        numbers = [worker for worker in each.server._connections.peers if worker >= 0]
        targets.append((address.reached(far=far), numbers))
    target, taken = cluster.draw.choice(targets) if endpoint.servers else targets[0]
    client = Stranger(cluster.network, job, dataset, endpoint, target, hello(number, host, job, dataset), taken)
    cluster.scheduler.spawn(f"stranger {number}", host, client.run)


FAULTS: dict[str, Callable[[Cluster], None]] = {
    "kill worker": kill_worker,
    "pause worker": pause_worker,
    "cut": cut,
    "damage": damage,
    "partition": partition,
    "lose host": lose_host,
    "kill server": kill_server,
    "power": lose_power,
    "pause server": pause_server,
    "join": join,
    "leave": leave,
    "stop": stop,
    "bad worker": bad_worker,
    "stranger": stranger,
}


def _at_some_moment(cluster: Cluster, end: Action) -> None:
    """Now, or when the server next writes a file: at some moment of that."""
    if cluster.draw.random() < 0.5:
        end()
    else:
        cluster.world.disk.trap(cluster.draw.randint(1, MOMENTS), end)


def _end_server(cluster: Cluster, *, power: bool) -> None:
    if cluster.server is not None and not cluster.stopping and cluster.result is None:
        if not power and (process := _some_server(cluster)) is not cluster.server:
            cluster.world.kill(process)
            cluster.network.fired.add("kill server of a slice")
            return
        cluster.world.kill(cluster.server, power=power)
        cluster.network.fired.add("power" if power else "kill server")


def _some_worker(cluster: Cluster) -> Process | None:
    """A worker, or a relay."""
    found = [*cluster.workers.values(), *cluster.relays.processes]
    return cluster.draw.choice(found) if found else None


def _kind(process: Process) -> str:
    return process.name.split()[0]


def _some_server(cluster: Cluster) -> Process:
    """The server, or, if there are several, the coordinator or one of them."""
    assert cluster.server is not None
    found = [cluster.server, *(each.process for each in cluster.slices.running if each.process.alive)]
    return cluster.draw.choice(found) if len(found) > 1 else cluster.server


def _far_hosts(cluster: Cluster) -> list[str]:
    processes = [*cluster.workers.values(), *(each.process for each in cluster.slices.running)]
    hosts = {each.host for each in processes} - {"here"} - cluster.lost_hosts
    return sorted(hosts)


def _pause(cluster: Cluster, process: Process, pauses: Sequence[float]) -> None:
    process.paused_until = cluster.scheduler.now + cluster.draw.choice(pauses)
    cluster.scheduler.at(process.paused_until)
