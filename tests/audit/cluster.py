"""cluster.py CHECKOUT: audits in/*.mkv on two Ray nodes, kills a worker and then a whole node on the way, and reads what comes of it.

Run in a folder with the bundle `b`; the results are in `clustered`.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.compute
import pyarrow.parquet
from ray.cluster_utils import Cluster

checkout = Path(sys.argv[1])
videos = sorted(Path("in").glob("*.mkv"))
PATIENCE = 600


def audits():
    """The adaudit processes at work below a Ray worker, with their workers."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name, parent = (process / "comm").read_text().strip(), (process / "stat").read_text().split(") ")[-1].split()[1]
            # A process that has ended but was not waited for has no command line.
            if name == "adaudit" and b"clustered" in (process / "cmdline").read_bytes():
                found[int(process.name)] = int(parent)
        except OSError:
            # It has ended while it was looked at.
            continue
    return found


def wait_for(what, done):
    start = time.monotonic()
    while not (result := done()):
        assert time.monotonic() - start < PATIENCE, f"waited in vain for {what}"
        time.sleep(0.05)
    return result


# One video at a time on each node.
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
second = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
driver = subprocess.Popen(
    [
        sys.executable, checkout / "examples/audit_ray.py", "--address", cluster.address, "--threads", "1",
        "--adaudit", os.environ["RAY_ADAUDIT"], "--model", "b", "--out", "clustered", *videos,
    ],
    stdout=subprocess.PIPE, text=True,
)

# Both nodes work; then a worker dies, without a chance to say so.
at_work = wait_for("two audits", lambda: len(found := audits()) == 2 and found)
audit, worker = next(iter(at_work.items()))
os.kill(worker, signal.SIGKILL)
wait_for("its audit's end", lambda: audit not in audits())
wait_for("another try", lambda: len(audits()) == 2)
# And then a whole node.
cluster.remove_node(second, allow_graceful=False)
wait_for("its audit's end", lambda: len(audits()) <= 1)

output, _ = driver.communicate(timeout=PATIENCE)
print(output)
assert driver.returncode == 1, "a damaged video is told"
assert output.count(" events\n") >= len(videos)
cluster.shutdown()

# Whoever works with the tables reads them so.
events = pyarrow.parquet.read_table("clustered/events.parquet")
frames = pyarrow.parquet.read_table("clustered/frames.parquet")
print(events.schema, frames.schema, sep="\n")
assert frames.num_rows == 4 * 240
keys = frames.group_by(["video", "frame"]).aggregate([([], "count_all")])
assert keys.num_rows == frames.num_rows, "no frame is there twice"
for event in events.to_pylist():
    assert event["start"] <= event["peak"] < event["end"], event
    assert event["regions"] and all(0.5 <= region["score"] <= 1 for region in event["regions"]), event
    peak = frames.filter((pyarrow.compute.field("video") == event["video"]) & (pyarrow.compute.field("frame") == event["peak_frame"]))
    assert peak["score"].to_pylist() == [event["peak_score"]], event
