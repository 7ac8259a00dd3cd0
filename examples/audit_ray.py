#!/usr/bin/env python3
"""Audits recorded videos on all machines of a Ray cluster: a task is a video, the result one audit.

    pip install ray
    ray start --head                      # and on every other machine: ray start --address HEAD:6379
    audit_ray.py --model bottle.bundle --out /shared/monday /shared/recordings/*.mkv

Bundle, videos and results lie where every machine finds them under the same path (NFS or the like), and adaudit is installed
everywhere. A task that fails, or whose machine dies, is tried again on another one and goes on at the last checkpoint: each video's
results grow in a folder of its own. In the end there are one page, one events.parquet and one frames.parquet of all the videos.
"""

import argparse
import ctypes
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import ray

PR_SET_PDEATHSIG = 1
# Before a video that another task still holds is asked for again. On NFS, the lock of a machine that is gone is held for a minute
# and a half: with the default of the retries a task waits longer than that.
PAUSE_SECONDS = 20


class AuditFailed(Exception):
    """adaudit could not go on; the task is tried again."""


def die_with_parent():
    """A worker that is killed takes its adaudit along, so that the next one finds the video free."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def audit(command, video):
    """Audits one video and returns adaudit's last line: what came of it."""
    # A damaged video is a result, not a failure of the task.
    run = subprocess.run(
        [*command, "--no-report", "--accept-damaged", "--json", video],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,
    )
    if run.returncode != 0:
        time.sleep(PAUSE_SECONDS)
        raise AuditFailed(f"{video}: adaudit ended with {run.returncode}: {run.stderr.strip()[-2000:]}")
    return json.loads(run.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path, help="the bundle")
    parser.add_argument("--out", required=True, type=Path, help="folder for the results, on all machines the same")
    parser.add_argument("--address", default="auto", help="the cluster (default: the one of this machine)")
    parser.add_argument("--threads", default=2, type=int, help="threads of a task, and the CPUs that it reserves (2)")
    parser.add_argument("--retries", default=8, type=int, help="how often a task is tried again (8)")
    parser.add_argument("--adaudit", default=shutil.which("adaudit"), help="the program (default: that on the PATH)")
    parser.add_argument("--option", action="append", default=[], help="another argument for adaudit, such as --option=--every=5")
    parser.add_argument("video", nargs="+", type=Path)
    arguments = parser.parse_args()
    if arguments.adaudit is None:
        parser.error("there is no adaudit on the PATH: name it with --adaudit")

    model, out = arguments.model.resolve(), arguments.out.resolve()
    command = [arguments.adaudit, "--model", str(model), "--out", str(out), *arguments.option]
    ray.init(address=arguments.address, log_to_driver=False)
    task = ray.remote(audit).options(
        num_cpus=arguments.threads, max_retries=arguments.retries, retry_exceptions=[AuditFailed]
    )
    threads = ["--threads", str(arguments.threads)]
    waiting = {task.remote([*command, *threads], str(video.resolve())): video for video in arguments.video}
    failed = 0
    while waiting:
        done, _ = ray.wait(list(waiting), num_returns=1)
        video = waiting.pop(done[0])
        try:
            result = ray.get(done[0])
            print(f"{video}: {result['events']} events", flush=True)
        except ray.exceptions.RayError as error:
            failed += 1
            print(f"audit_ray: {video}: {error}", file=sys.stderr)
    # Everything is there: what is left is to put it together.
    report = subprocess.run(command)
    sys.exit(1 if failed else report.returncode)


if __name__ == "__main__":
    main()
