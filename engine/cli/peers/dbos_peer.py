"""Steps that do nothing, with DBOS on SQLite: dbos_peer.py SHAPE STEPS RUNS FOLDER."""

import asyncio
import json
import sys
import time

from dbos import DBOS

SHAPE, STEPS, RUNS, FOLDER = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
starts, begun = [], 0

DBOS(
    config={
        "name": "bench",
        "system_database_url": f"sqlite:///{FOLDER}/dbos.sqlite",
        "run_admin_server": False,
        "log_level": "ERROR",
    }
)


@DBOS.step()
async def nothing():
    starts.append(time.perf_counter_ns() - begun)


@DBOS.workflow()
async def chain(count: int):
    for _ in range(count):
        await nothing()


@DBOS.workflow()
async def fan(count: int):
    await asyncio.gather(*(nothing() for _ in range(count)))


async def main():
    global begun
    await chain(3)
    starts.clear()
    work = fan if SHAPE == "fan-out" else chain
    begun = time.perf_counter_ns()
    await asyncio.gather(*(work(STEPS) for _ in range(RUNS)))
    ended = time.perf_counter_ns() - begun
    print(json.dumps({"starts_ns": starts, "ended_ns": ended}), flush=True)
    sys.stdin.read()


DBOS.launch()
asyncio.run(main())
DBOS.destroy()
