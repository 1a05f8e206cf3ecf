"""What the server costs: start and memory against an empty Gradio app, and twenty viewers of a run that talks.

usage: python benchmarks/server.py [--rounds 3] [--viewers 20] [--seconds 20]

1. Studio and empty app in turns: time from start to the first whole page, and resident memory of the idle server. The
   ratios of the best rounds must be at most 1.5 (other work on the machine disturbs those least), and no torch may be
   loaded. The CPU time of the start is printed beside, which other work hardly changes.
2. A run writes 1,000 log lines a second while the viewers, who came within two seconds of each other, do what a page
   on that run does: all its timers. The time
   from writing a line to its arrival must stay below 2 s; the server's CPU per viewer is printed.
Exit code 0 only when all of this holds.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

PROJECT_DIR = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT_DIR))

from studio.preset.schema import Preset  # noqa: E402
from studio.runs import launcher  # noqa: E402
from studio.runs.store import RunStore  # noqa: E402
from studio.settings import Settings  # noqa: E402

RATIO_LIMIT, DELAY_LIMIT_S = 1.5, 2.0
IDLE_S = 5
# the viewers open the run one after the other within so many seconds
COMING_S = 2
EMPTY_APP = """
import os, gradio as gr
with gr.Blocks(analytics_enabled=False) as demo:
    gr.Markdown("empty")
demo.launch(server_port=int(os.environ["STUDIO_PORT"]), ssr_mode=False, quiet=True)
"""
SERVERS = {"empty Gradio app": ["-c", EMPTY_APP], "studio": ["-m", "studio", "serve"]}


def main() -> int:
    """Measure both parts and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"STUDIO_DATA_DIR": folder, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        idle_holds = compare_idle(environment, arguments.rounds)
        load_holds = measure_viewers(environment, arguments.viewers, arguments.seconds)
    return 0 if idle_holds and load_holds else 1


def compare_idle(environment: dict[str, str], rounds: int) -> bool:
    """Start both servers in turns; prints seconds, megabytes and ratios, and returns whether the ratios hold."""
    starts: dict[str, list[float]] = {name: [] for name in SERVERS}
    efforts: dict[str, list[float]] = {name: [] for name in SERVERS}
    sizes: dict[str, list[float]] = {name: [] for name in SERVERS}
    for _ in range(rounds):
        for name, command in SERVERS.items():
            with running(command, environment) as (process, _, start_s):
                effort = process.cpu_times()
                efforts[name].append(effort.user + effort.system)
                time.sleep(IDLE_S)
                starts[name].append(start_s)
                sizes[name].append(process.memory_info().rss / 1e6)
                loaded = [file.path for file in process.memory_maps() if "libtorch" in file.path]
                assert not loaded, f"{name} has loaded {loaded[0]}"
    holds = True
    for what, unit, values in (("start to first page", "s", starts), ("idle memory", "MB", sizes)):
        empty, studio = (min(values[name]) for name in SERVERS)
        holds &= studio / empty <= RATIO_LIMIT
        print(f"{what}: studio {studio:.2f} {unit}, empty app {empty:.2f} {unit}, ratio {studio / empty:.2f} "
              f"(limit {RATIO_LIMIT}; studio {numbers(values['studio'])}, empty {numbers(values['empty Gradio app'])})")
    empty, studio = (min(efforts[name]) for name in SERVERS)
    print(f"CPU time of the start: studio {studio:.2f} s, empty app {empty:.2f} s, ratio {studio / empty:.2f}")
    print("no torch in either server", flush=True)
    return holds


def measure_viewers(environment: dict[str, str], viewers: int, seconds: float) -> bool:
    """Let viewers follow a talking run; prints delays and CPU, and returns whether the slowest delay holds."""
    settings = Settings.from_environment(environment | {"STUDIO_WORKER_MODULE": "benchmarks.chatty_worker"})
    store = RunStore(settings)
    with running(SERVERS["studio"], environment) as (process, address, _):
        run_id = launcher.start(store, Preset(), name="talking", environment={"HF_HUB_OFFLINE": "1"})
        try:
            wait_for_lines(store, run_id)
            before = process.cpu_times()
            time.sleep(IDLE_S)
            idle_cpu = cpu_between(before, process.cpu_times()) / IDLE_S
            delays, cpu = asyncio.run(watch(address, run_id, viewers, seconds, process))
        finally:
            launcher.stop(store, run_id)
            while store.get(run_id).is_live:
                time.sleep(0.2)
    delays.sort()
    lines_seen, worst = len(delays), delays[-1]
    print(f"{viewers} viewers for {seconds:.0f} s: {lines_seen / viewers / seconds:.0f} lines a second reached each")
    print(f"delay from written to received: median {delays[lines_seen // 2]:.2f} s, "
          f"99 of 100 within {delays[lines_seen * 99 // 100]:.2f} s, slowest {worst:.2f} s (limit {DELAY_LIMIT_S:.0f})")
    print(f"server CPU, opening the page included: {100 * cpu:.0f} % of a core, "
          f"{100 * (cpu - idle_cpu) / viewers:.1f} % per viewer (without viewers {100 * idle_cpu:.1f} %)")
    return worst < DELAY_LIMIT_S


async def watch(address: str, run_id: str, viewers: int, seconds: float,
                process: psutil.Process) -> tuple[list[float], float]:
    """Open the run in every viewer, then follow it; returns the delay of each line in seconds, and cores used."""
    # connections are not kept longer than the server keeps them
    limits = httpx.Limits(max_connections=None, keepalive_expiry=2)
    async with httpx.AsyncClient(base_url=address, timeout=30, limits=limits) as client:
        config = (await client.get("/config")).json()
        pages = [Page(client, config, f"viewer{number}") for number in range(viewers)]
        before, start = process.cpu_times(), time.monotonic()
        await asyncio.gather(*(page.visit(run_id, start + COMING_S * number / viewers, start + seconds)
                               for number, page in enumerate(pages)))
        cpu = cpu_between(before, process.cpu_times()) / (time.monotonic() - start)
    assert all(page.delays for page in pages), "a viewer has seen no line"
    return [delay for page in pages for delay in page.delays], cpu


class Page:
    """The page as a browser runs it, without drawing: component values, events over HTTP, and every timer."""

    def __init__(self, client: httpx.AsyncClient, config: dict[str, Any], session: str):
        self.client, self.session = client, session
        self.events = config["dependencies"]
        self.props = {part["id"]: dict(part["props"]) for part in config["components"]}
        self.by_name = {part["props"].get("elem_id"): part["id"] for part in config["components"]}
        self.types = {part["id"]: part["type"] for part in config["components"]}
        self.delays: list[float] = []

    async def visit(self, run_id: str, since: float, until: float) -> None:
        """Open the run and follow it from then to then (monotonic seconds)."""
        await asyncio.sleep(since - time.monotonic())
        await self.open(run_id)
        self.delays.clear()  # the end of the log that was written before
        await self.follow(until)

    async def open(self, run_id: str) -> None:
        """Go to the run and unfold its log."""
        opened = self.by_name["runs-open"]
        self.props[opened]["value"] = run_id
        await self.fire(opened, "change")
        await self.fire(self.by_name["run-log-fold"], "expand")

    async def follow(self, until: float) -> None:
        """Run all timers until then (monotonic seconds)."""
        timers = [part for part, type in self.types.items() if type == "timer"]
        await asyncio.gather(*(self._tick(timer, until) for timer in timers))

    async def _tick(self, timer: int, until: float) -> None:
        while time.monotonic() < until:
            await asyncio.sleep(self.props[timer]["value"])
            if self.props[timer]["active"]:
                await self.fire(timer, "tick")

    async def fire(self, part: int, event: str) -> None:
        """What the browser does for an event: one request for each handler that listens, then the updates."""
        for listener in self.events:
            if [part, event] in listener["targets"] and listener["backend_fn"]:
                await self._call(listener)

    async def _call(self, listener: dict[str, Any]) -> None:
        data = [self.props[part].get("value") for part in listener["inputs"]]
        response = await self.client.post("/gradio_api/run/predict", json={
            "data": data, "fn_index": listener["id"], "session_hash": self.session, "event_data": None})
        response.raise_for_status()
        for part, value in zip(listener["outputs"], response.json()["data"], strict=True):
            is_update = isinstance(value, dict) and value.get("__type__") == "update"
            self.props[part] |= {k: v for k, v in value.items() if k != "__type__"} if is_update else {"value": value}
            if part == self.by_name["runs-log"] and "value" in (value if is_update else {"value": 0}):
                self._note_lines(self.props[part]["value"]["text"])

    def _note_lines(self, text: str) -> None:
        now = time.monotonic()
        stamps = [line.split(" ", 1)[0] for line in text.splitlines() if " line " in line]
        self.delays += [now - float(stamp) for stamp in stamps[1:] if "." in stamp]


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[tuple[psutil.Process, str, float]]:
    """A server as its own process: (process, address, seconds from start to the first whole page)."""
    port = free_port()
    start = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, *command], cwd=PROJECT_DIR, env=environment | {"STUDIO_PORT": str(port)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        while not page_stands(address):
            assert child.poll() is None and time.monotonic() - start < 120, f"{command} did not start"
            time.sleep(0.02)
        yield psutil.Process(child.pid), address, time.monotonic() - start
    finally:
        child.terminate()
        child.wait(timeout=30)


def page_stands(address: str) -> bool:
    """Whether the server answers with the page."""
    try:
        return "gradio" in httpx.get(address, timeout=10).text
    except httpx.TransportError:
        return False


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_lines(store: RunStore, run_id: str) -> None:
    """Until the run's log grows."""
    for _ in range(300):
        if store.log_size(run_id) > 10_000:
            return
        time.sleep(0.1)
    raise AssertionError(f"the run writes nothing: {store.get(run_id).state}")


def cpu_between(before: Any, after: Any) -> float:
    """Seconds of CPU a process used between two readings."""
    return after.user + after.system - before.user - before.system


def numbers(values: list[float]) -> str:
    """All measured values, for the record."""
    return ", ".join(f"{value:.2f}" for value in values)


if __name__ == "__main__":
    sys.exit(main())
