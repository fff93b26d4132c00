"""What is played, and which figures of it are compared. Less is better in all of them."""

from dataclasses import dataclass

FAN_OUT, DIRECT, IDLE, RATE = "fan-out", "direct", "idle", "rate"
NAMES = ("fan-out", "fan-out-16", "fan-out-many", "direct", "idle", "rate")


@dataclass(frozen=True)
class Measure:
    """A figure of a run: what it is called, and where it stands in the load client's JSON."""

    title: str
    key: str
    # As many digits behind the point as are worth reading.
    digits: int = 2


@dataclass(frozen=True)
class Workload:
    name: str
    kind: str
    title: str
    # Of the load client, in its own words; the payload, times and processors are added to them.
    arguments: tuple
    measures: tuple

    @property
    def floor(self):
        """The load client's scenario that is the floor of this, if there is one."""
        return {FAN_OUT: "floor", IDLE: "echo-floor"}.get(self.kind)

    @property
    def floor_arguments(self):
        """The same without what a floor knows nothing of."""
        pairs = zip(self.arguments[::2], self.arguments[1::2])
        return [part for pair in pairs if pair[0] != "--start-connections" for part in pair]

    @property
    def scenario(self):
        return {FAN_OUT: "group", IDLE: "idle"}.get(self.kind, "direct")


def workloads(options):
    """All that are asked for, at the scale that is asked for. How a server's CPU is counted is the same in all."""
    cost = "server_process_cpu_us_per" if options.cost == "process" else "server_cpu_us_per"
    delivery, pong = Measure("server CPU per delivery, us", f"{cost}_delivery", 3), Measure("server CPU per heartbeat, us", f"{cost}_pong", 3)
    message = Measure("server CPU per message, us", f"{cost}_delivery", 3)
    memory = Measure("memory per connection, bytes", "server_rss_bytes_per_connection", 0)
    p99 = Measure("p99 of a delivery, us", "latency_us.p99", 0)

    def scaled(number):
        """Even, because half of them are somebody's peer."""
        return max(10, int(number * options.scale) // 2 * 2)

    many, few = scaled(15_000), scaled(1_000)
    every_ms = 900
    all_of_them = [
        Workload("fan-out", FAN_OUT, f"1 -> {few:,}, window 1", ("--members", few, "--window", 1), (delivery, p99)),
        Workload("fan-out-16", FAN_OUT, f"1 -> {few:,}, window 16", ("--members", few, "--window", 16), (delivery, p99)),
        Workload("fan-out-many", FAN_OUT, f"1 -> {many:,}, window 1", ("--members", many, "--window", 1), (delivery, p99)),
        Workload("direct", DIRECT, f"acknowledged, {few:,} connections in pairs, window 1", ("--connections", few, "--window", 1), (message, p99)),
        Workload(
            "idle",
            IDLE,
            f"{many:,} connections, a heartbeat of each every {every_ms} ms ({many * 1000 // every_ms:,} per second)",
            ("--connections", many, "--start-connections", many // 3, "--heartbeat", every_ms),
            (memory, pong),
        ),
        Workload("rate", RATE, f"acknowledged, {few:,} connections in pairs, open loop", ("--connections", few), (p99, message)),
    ]
    return [workload for workload in all_of_them if not options.workloads or workload.name in options.workloads]


def value(figures, key):
    """A figure; None where the run has none."""
    for part in key.split("."):
        figures = (figures or {}).get(part)
    return figures
