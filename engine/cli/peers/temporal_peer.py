"""Steps that do nothing, with Temporal's dev server on a file: temporal_peer.py SHAPE STEPS RUNS FOLDER SERVER."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

SHAPE, STEPS, RUNS, FOLDER, SERVER = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
QUEUE = "bench"
starts, begun = [], 0


@activity.defn
async def nothing():
    starts.append(time.perf_counter_ns() - begun)


def step():
    return workflow.execute_activity(nothing, start_to_close_timeout=timedelta(minutes=10))


@workflow.defn
class Chain:
    @workflow.run
    async def run(self, count: int):
        for _ in range(count):
            await step()


@workflow.defn
class Fan:
    @workflow.run
    async def run(self, count: int):
        await asyncio.gather(*(step() for _ in range(count)))


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


async def connect(address):
    until = time.monotonic() + 60
    while True:
        try:
            return await Client.connect(address)
        except RuntimeError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.05)


async def main():
    global begun
    port = free_port()
    words = [SERVER, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port)]
    words += ["--db-filename", f"{FOLDER}/temporal.db", "--log-level", "never"]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client = await connect(f"127.0.0.1:{port}")
        plain = UnsandboxedWorkflowRunner()
        known = {"workflows": [Chain, Fan], "activities": [nothing], "workflow_runner": plain}
        async with Worker(client, task_queue=QUEUE, **known):
            await client.execute_workflow(Chain.run, 3, id="warm", task_queue=QUEUE)
            starts.clear()
            work = Fan.run if SHAPE == "fan-out" else Chain.run
            begun = time.perf_counter_ns()
            runs = (client.execute_workflow(work, STEPS, id=f"run-{n}", task_queue=QUEUE) for n in range(RUNS))
            await asyncio.gather(*runs)
            ended = time.perf_counter_ns() - begun
            print(json.dumps({"starts_ns": starts, "ended_ns": ended}), flush=True)
            sys.stdin.read()
    finally:
        server.kill()
        server.wait()


asyncio.run(main())
