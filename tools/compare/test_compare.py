"""Tests of the comparison: its arithmetic over made-up figures, and itself, short and small, against what is installed.

    python3 -m unittest discover -s tools/compare     needs a build of the workspace, in release mode or not
"""

import contextlib
import io
import json
import os
import tempfile
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path
from unittest import mock

import chart
import instructions
import processes
import report
import repository
import run
import scaling
import servers

COST = "server_process_cpu_us_per_delivery"
OPTIONS = {
    "workloads": None, "seconds": 5, "warmup": 1, "rounds": 3, "payload": 128, "scale": 1, "cpus": "1", "server_cpus": "0", "cost": "process",
    "rate": None,
}


def played(workload, server, costs, **figures):
    """Runs of one server, one for each cost; None is a run that lost something."""
    return [
        {"workload": workload, "server": server, "round": turn, "clean": cost is not None, "figures": {COST: cost or 1.0, "machine": {}, **figures}}
        for turn, cost in enumerate(costs)
    ]


def results(*runs, absent=()):
    names = dict.fromkeys(one["server"] for each in runs for one in each)
    present = [{"name": name, "title": f"the {name}", "version": "1.2", "settings": "none"} for name in names]
    return {"options": OPTIONS, "servers": [*present, *absent], "runs": [one for each in runs for one in each]}


class Arithmetic(unittest.TestCase):
    def test_ratios_are_of_the_same_round(self):
        # The second round was slow for both: the ratio does not notice, medians of each would.
        summary = report.Summary(results(played("fan-out", "campanile", [1.0, 8.0, 3.0]), played("fan-out", "floor", [1.0, 4.0, 2.0])))
        self.assertEqual(summary.ratio(("fan-out", "campanile"), ("fan-out", "floor"), COST), 1.5)
        self.assertEqual(summary.median("fan-out", "campanile", COST), 3.0)

    def test_a_run_that_lost_something_does_not_count_and_is_told(self):
        summary = report.Summary(results(played("fan-out", "campanile", [1.0, None, 3.0]), played("fan-out", "floor", [1.0, 1.0, 1.0])))
        self.assertEqual(summary.each("fan-out", "campanile", COST), {0: 1.0, 2: 3.0})
        self.assertIn("1 runs lost something", report.markdown(summary))

    def test_what_is_wanted_is_held_against_its_bound(self):
        runs = [
            played("fan-out", "campanile", [1.0] * 3), played("fan-out", "floor", [1.0] * 3), played("fan-out", "redis", [2.0] * 3),
            played("fan-out-many", "campanile", [1.2] * 3), played("fan-out-many", "floor", [1.0] * 3),
            played("direct", "campanile", [2.0] * 3), played("direct", "nats", [7.0] * 3),
            played("idle", "campanile", [1.0] * 3, server_rss_bytes_per_connection=390.0, server_process_cpu_us_per_pong=5.0),
            played("idle", "floor", [1.0] * 3, server_process_cpu_us_per_pong=5.0),
        ]
        found = {(number, what): (figure, report.verdict(figure, bound, at_most))
                 for number, what, figure, bound, at_most in report.wanted(report.Summary(results(*runs))) if figure is not None}
        self.assertEqual(found[1, "fan-out, window 1, to the floor"], (1.0, "yes"))
        self.assertEqual(found[1, "to redis"], (0.5, "**no**"))
        self.assertEqual(found[2, "growth of the cost with 15 times the members, to the floor's"], (1.2, "**no**"))
        self.assertEqual(found[3, "memory per idle session, bytes"], (390.0, "yes"))
        self.assertEqual(found[3, "heartbeats, to echoes of a bare ring"], (1.0, "yes"))
        self.assertEqual(found[4, "direct messages per server CPU second, to nats-server"], (3.5, "yes"))
        self.assertNotIn((1, "to nats-server"), found)

    def test_the_absent_are_listed(self):
        absent = {"name": "redis", "title": "redis pub/sub", "why": "no network"}
        text = report.markdown(report.Summary(results(played("fan-out", "campanile", [1.0]), absent=[absent])))
        self.assertIn("Absent: redis pub/sub: no network", text)

    def test_the_chart_is_an_image_of_all_figures(self):
        summary = report.Summary(results(played("fan-out", "campanile", [1.0] * 3), played("fan-out", "a < b & c", [4.25] * 3)))
        image = xml.fromstring(chart.draw(summary))
        texts = [element.text for element in image.iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("the a < b & c", texts)
        self.assertIn("4.250", texts)


class Instructions(unittest.TestCase):
    def test_a_profile_is_shared_by_its_operations(self):
        with tempfile.TemporaryDirectory() as directory:
            case = Path(directory) / "counted" / "session" / "direct_message.one_shard_of_100"
            case.mkdir(parents=True)
            (case / "callgrind.direct_message.out").write_text("events: Ir Dr Dw\nsummary: 13000 9 9\nfn=(1)\n1 5 5\ntotals: 13000 9 9\n")
            self.assertEqual(list(instructions.read(Path(directory))), [("session::direct_message.one_shard", 130.0)])

    def test_instructions_are_found_wherever_they_stand_among_the_events(self):
        self.assertEqual(instructions.instructions("events: Dr Ir\ntotals: 7 99\n"), 99)

    def test_what_one_commit_lacks_is_absent_and_has_not_grown(self):
        before, after = {"gone": 10.0, "kept": 100.0, "more": 100.0}, {"kept": 103.0, "more": 104.0, "new": 5.0}
        self.assertEqual(instructions.grew(before, after, 1.03), ["more"])
        table = instructions.table(instructions.read_options(["main"]), before, after)
        self.assertIn("| gone | 10 | absent |  |", table)
        self.assertIn("| new | absent | 5 |  |", table)
        self.assertIn("| kept | 100 | 103 | 1.030 |", table)

    def test_the_runner_has_the_version_of_the_bench(self):
        lock = '[[package]]\nname = "gungraun"\nversion = "0.20.0"\n\n[[package]]\nname = "gungraun-common"\nversion = "0.1.0"\n'
        self.assertEqual(repository.locked_version(lock, "gungraun"), "0.20.0")
        with self.assertRaises(processes.Unavailable):
            repository.locked_version(lock, "absent")

    def test_without_valgrind_it_says_so(self):
        path, said = os.environ["PATH"], io.StringIO()
        os.environ["PATH"] = ""
        try:
            with contextlib.redirect_stderr(said):
                self.assertEqual(instructions.main(["HEAD"]), 2)
        finally:
            os.environ["PATH"] = path
        self.assertIn("valgrind is not installed", said.getvalue())


class Scaling(unittest.TestCase):
    def test_what_was_counted_is_shared_by_deliveries(self):
        found = {"deliveries": 200, "messages_in": 20, "instructions": 2000, "lane_messages": 300, "doorbells_rung": 1, "turns": 7}
        self.assertEqual(scaling.each_delivery(found), {"instructions": 10, "lane_messages": 1.5, "doorbells_rung": 0.005})
        with self.assertRaises(processes.Unavailable):
            scaling.each_delivery(found | {"deliveries": 0})

    def test_it_is_counted_when_the_server_is_at_rest_and_the_client_stopped(self):
        counters, events = iter([{"turns": 1}, {"turns": 3}, {"turns": 3}, {"turns": 4}]), []

        class Playing:
            @contextlib.contextmanager
            def stopped(self):
                events.append("stopped")
                yield
                events.append("goes on")

        with mock.patch.multiple(scaling, counters=lambda _: next(counters), must=lambda command: events.append(command[-1]), LOOK_S=0):
            self.assertEqual(scaling.counters_at_rest(Playing(), 1, 2), {"turns": 3})
        self.assertEqual(events, ["stopped", "dump", "goes on"])

    def test_a_stopped_client_goes_on_and_a_failed_one_is_told(self):
        with tempfile.TemporaryDirectory() as directory:
            log = Path(directory) / "log"
            with scaling.Client(["true"], log) as playing:
                playing.process.wait()
                with self.assertRaisesRegex(processes.Unavailable, "ended too soon"), playing.stopped():
                    self.fail("it has ended")
                playing.end()
            with scaling.Client(["sh", "-c", "echo it was lost; exit 1"], log) as playing, self.assertRaisesRegex(processes.Unavailable, "it was lost"):
                playing.end()
            with scaling.Client(["sh", "-c", "kill -STOP $$"], log) as playing:
                os.waitpid(playing.process.pid, os.WUNTRACED)
                with playing.stopped():
                    self.assertIsNone(playing.process.poll())
                playing.end()

    def test_counters_are_summed_over_shards(self):
        text = 'campanile_deliveries_total{shard="0"} 5\ncampanile_deliveries_total{shard="1"} 7\ncampanile_turns_total{shard="0"} 9\n'
        self.assertEqual((scaling.sums(text)["deliveries"], scaling.sums(text)["turns"]), (12, 9))


class EndToEnd(unittest.TestCase):
    def test_all_that_is_installed_delivers_everything(self):
        target = Path(os.environ.get("CARGO_TARGET_DIR", repository.ROOT / "target"))
        build = next((target / kind for kind in ("debug", "release") if (target / kind / "campanile-load").exists()), None)
        self.assertIsNotNone(build, "the workspace is not built: cargo build --workspace")
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "results.json"
            arguments = ["--installed", "--seconds", "1", "--warmup", "0.2", "--rounds", "1", "--scale", "0.02", "--rate", "200", "--cpus", "0"]
            arguments += ["--build", str(build), "--json", str(out), "--svg", str(Path(scratch) / "chart.svg")]
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                status = run.main(arguments)
            self.assertEqual(status, 0, said.getvalue())
            found = json.loads(out.read_text())
            xml.parse(Path(scratch) / "chart.svg")
        self.assertEqual([server["name"] for server in found["servers"]], list(servers.ALL))
        present = [server["name"] for server in found["servers"] if "why" not in server]
        self.assertLessEqual({"floor", "campanile", "campanile-ws", "tungstenite"}, set(present))
        for name in present:
            mine = [one for one in found["runs"] if one["server"] == name]
            self.assertEqual(len(mine), 4 if name == "floor" else 6, name)
            for one in mine:
                figures = one["figures"]
                done = figures["pongs"] if one["workload"] == "idle" else figures["delivered"]
                self.assertGreater(done, 0, f"{name} {one['workload']}")
                self.assertEqual((figures["lost"], figures["duplicated"], figures["delivered"]), (0, 0, figures["expected"]))


if __name__ == "__main__":
    unittest.main()
