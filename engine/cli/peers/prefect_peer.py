"""Steps that do nothing, with Prefect and its ephemeral server: prefect_peer.py SHAPE STEPS RUNS FOLDER."""

import json
import os
import sys
import time

SHAPE, STEPS, RUNS, FOLDER = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
os.environ["PREFECT_HOME"] = FOLDER
os.environ["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "120"
os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "1"

from prefect import flow, task  # noqa: E402 (reads the environment when it is imported)

starts, begun = [], 0


@task(cache_policy=None)
def nothing():
    starts.append(time.perf_counter_ns() - begun)


@flow
def chain(count: int):
    for _ in range(count):
        nothing()


@flow
def fan(count: int):
    for one in [nothing.submit() for _ in range(count)]:
        one.wait()


if RUNS != 1:
    raise SystemExit("runs at the same time need a worker pool of Prefect's")
chain(3)
starts.clear()
work = fan if SHAPE == "fan-out" else chain
begun = time.perf_counter_ns()
work(STEPS)
ended = time.perf_counter_ns() - begun
print(json.dumps({"starts_ns": starts, "ended_ns": ended}), flush=True)
sys.stdin.read()
