"""job.py FILE: checks a Kubernetes manifest against the API's own types, which refuse unknown fields, and the audit's needs."""

import os
import re
import subprocess
import sys

import yaml
from kubernetes.client import V1Job

documents = list(yaml.safe_load_all(open(sys.argv[1])))
assert len(documents) == 1, "one job"
job = V1Job.model_validate(documents[0])
assert (job.api_version, job.kind) == ("batch/v1", "Job")
spec, pod = job.spec, job.spec.template.spec
assert spec.completion_mode == "Indexed" and spec.completions == spec.parallelism
assert spec.backoff_limit_per_index >= 1 and pod.restart_policy == "Never", "a pod that dies is started again"

(container,) = pod.containers
parts = next(argument for argument in container.command if argument.startswith("--part="))
assert parts == f"--part=$(JOB_COMPLETION_INDEX)/{spec.completions}", "as many parts as pods"
claims = {volume.name: volume.persistent_volume_claim for volume in pod.volumes}
mounts = {mount.name: mount for mount in container.volume_mounts}
assert claims.keys() == mounts.keys()
assert mounts["recordings"].read_only and not mounts["results"].read_only
for argument in container.command[1:]:
    path = argument.split("=")[-1]
    if path.startswith("/"):
        assert any(path.startswith(mount.mount_path + "/") for mount in mounts.values()), f"{path} is on no volume"

# The arguments are ones that adaudit takes: it gets as far as to miss the bundle.
command = [argument.replace("$(JOB_COMPLETION_INDEX)", "3") for argument in container.command[1:]]
run = subprocess.run([os.environ["RAY_ADAUDIT"], *command], capture_output=True, text=True)
assert run.returncode == 1 and re.search(r"/models/bottle\.bundle", run.stderr), run.stderr
