"""From the figures of all runs to medians and ratios, and to what people read: a table for each workload, and what is wanted of Campanile."""

import json
import statistics
from types import SimpleNamespace

import chart
from workloads import RATE, value, workloads


class Summary:
    """Medians over the rounds."""

    def __init__(self, results):
        self.options = SimpleNamespace(**results["options"])
        self.servers = results["servers"]
        self.workloads = workloads(self.options)
        self.runs = {(run["workload"], run["server"], run["round"]): run for run in results["runs"]}
        self.machine = next((run["figures"]["machine"] for run in results["runs"] if run["figures"]), {})

    def each(self, workload, server, key):
        """A figure by round. A run that lost something has none."""
        found = {}
        for turn in range(self.options.rounds):
            run = self.runs.get((workload, server, turn))
            figure = value(run["figures"], key) if run and run["clean"] else None
            if figure is not None:
                found[turn] = figure
        return found

    def median(self, workload, server, key):
        found = self.each(workload, server, key)
        return statistics.median(found.values()) if found else None

    def ratio(self, one, other, key):
        """The median of the ratios of two runs, each a workload and a server, in the same round."""
        ours, theirs = self.each(*one, key), self.each(*other, key)
        ratios = [ours[turn] / theirs[turn] for turn in ours if theirs.get(turn)]
        return statistics.median(ratios) if ratios else None

    def unclean(self, workload, server):
        """Rounds whose run does not count."""
        return sum(not run["clean"] for (played, by, _), run in self.runs.items() if (played, by) == (workload, server))

    def cost(self, workload):
        return next((measure.key for measure in workload.measures if "cpu" in measure.key), None)

    def named(self, name):
        return next((workload for workload in self.workloads if workload.name == name), None)


def write(results, options):
    """Prints everything, and writes what is asked for."""
    summary = Summary(results)
    text = markdown(summary)
    print(f"\n{text}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(text)
    if options.svg:
        options.svg.write_text(chart.draw(summary))


def markdown(summary):
    parts = [circumstances(summary)]
    parts += [table(summary, workload) for workload in summary.workloads if any(played == workload.name for played, _, _ in summary.runs)]
    parts += [wanted_table(summary), versions(summary)]
    return "\n\n".join(part for part in parts if part) + "\n"


def circumstances(summary):
    o, m = summary.options, summary.machine
    how = "the CPU time of the server's process" if o.cost == "process" else "all that the server's cores did"
    return (
        f"{m.get('cpus', '?')} x {m.get('cpu', 'unknown CPU')}, Linux {m.get('kernel', '?')}, loopback, congestion control "
        f"{m.get('tcp_congestion_control', '?')}; server on core {o.server_cpus}, load client on {o.cpus}; bodies of {o.payload} bytes; medians of "
        f"{o.rounds} rounds of {o.seconds:g} s; server CPU is {how}."
    )


def table(summary, workload):
    """One row for each server that took part."""
    rate = f", {summary.options.rate:,.0f} messages per second" if workload.kind == RATE and summary.options.rate else ""
    present = [server for server in summary.servers if any((workload.name, server["name"]) == run[:2] for run in summary.runs)]
    cost = summary.cost(workload)
    # What others are compared with: the floor where there is one, else Campanile.
    base = next((name for name in ("floor", "campanile") if summary.median(workload.name, name, cost)), None)
    heads = ["server", *(measure.title for measure in workload.measures), *([f"of {base}'s CPU"] if base else []), "per second", "server core"]
    rows = []
    for server in present:
        name = server["name"]
        row = [server["title"], *(shown(summary.median(workload.name, name, measure.key), measure.digits) for measure in workload.measures)]
        if base:
            row.append(shown(summary.ratio((workload.name, name), (workload.name, base), cost), 2))
        speeds = [summary.median(workload.name, name, key) for key in ("deliveries_per_s", "pongs_per_s")]
        row += [shown(max((speed or 0) for speed in speeds), 0), percent(summary.median(workload.name, name, "server_cpu_busy"))]
        if bad := summary.unclean(workload.name, name):
            row[0] += f" ({bad} runs lost something and do not count)"
        rows.append(row)
    return f"**{workload.kind.capitalize()}**: {workload.title}{rate}\n\n" + lines(heads, rows)


def wanted_table(summary):
    rows = [[f"{number}", what, shown(found, 3), f"at {'most' if at_most else 'least'} {bound:g}", verdict(found, bound, at_most)]
            for number, what, found, bound, at_most in wanted(summary) if found is not None]
    return "**What is wanted**\n\n" + lines(["", "Campanile", "measured", "wanted", "holds"], rows) if rows else ""


def verdict(found, bound, at_most):
    return "yes" if (found <= bound if at_most else found >= bound) else "**no**"


def wanted(summary):
    """What Campanile is to reach: number, what it is, what was measured, the bound, and whether that is the most."""
    fan, many, idle = (summary.named(name) for name in ("fan-out", "fan-out-many", "idle"))
    delivery = summary.cost(fan or many or summary.named("direct") or summary.named("fan-out-16") or idle)
    ours, floor, websocket = "campanile", "floor", "campanile-ws"

    def ratio(workload, one, other, at=None):
        return summary.ratio((workload, one), (at or workload, other), delivery)

    yield 1, "fan-out, window 1, to the floor", ratio("fan-out", ours, floor), 1.08, True
    yield 1, "the same over WebSocket, to uWebSockets", ratio("fan-out", websocket, "uwebsockets"), 1.0, True
    yield 1, "to redis", ratio("fan-out", ours, "redis"), 0.45, True
    yield 1, "to nats-server", ratio("fan-out", ours, "nats"), 0.2, True
    yield 1, "fan-out, window 16, to the floor's window 1", ratio("fan-out-16", ours, floor, at="fan-out"), 0.08, True
    yield 1, "the same over WebSocket, to uWebSockets", ratio("fan-out-16", websocket, "uwebsockets"), 0.95, True
    yield 1, "to redis", ratio("fan-out-16", ours, "redis"), 0.25, True
    grown = [ratio("fan-out-many", name, name, at="fan-out") for name in (ours, floor)]
    yield 2, "growth of the cost with 15 times the members, to the floor's", grown[0] / grown[1] if all(grown) else None, 1.05, True
    yield 3, "memory per idle session, bytes", summary.median("idle", ours, "server_rss_bytes_per_connection"), 400, True
    beats = summary.cost(idle) if idle else None
    yield 3, "heartbeats, to echoes of a bare ring", summary.ratio(("idle", ours), ("idle", floor), beats) if beats else None, 1.2, True
    # Messages per CPU second: the inverse of what one costs.
    yield 4, "direct messages per server CPU second, to nats-server", ratio("direct", "nats", ours), 3, False
    others = [server["name"] for server in summary.servers if server["name"] not in (ours, websocket, floor)]
    p99s = [p99 for name in others if (p99 := summary.median("rate", name, "latency_us.p99"))]
    best = summary.median("rate", ours, "latency_us.p99")
    yield 5, "p99 of the open loop, to the best of the others", best / min(p99s) if best and p99s else None, 1.0, True


def versions(summary):
    present = [[server["title"], server["version"], f"`{server['settings']}`"] for server in summary.servers if "why" not in server]
    text = "**Versions and settings**\n\n" + lines(["server", "version", "settings"], present)
    for server in summary.servers:
        if "why" in server:
            text += f"\n\nAbsent: {server['title']}: {server['why']}"
    return text


def lines(heads, rows):
    out = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in out)


def shown(figure, digits):
    return "-" if figure is None else f"{figure:,.{digits}f}"


def percent(share):
    return "-" if share is None else f"{share * 100:.0f} %"
