"""cluster/rayjob.yaml against what KubeRay and Kubernetes accept.

FIELDS has the fields and types of KubeRay's custom resource RayJob (ray.io/v1), from its Go types (Apache-2.0) and, for
authOptions, the API reference of v1.6.2: the objects that the file uses, complete but for the pods' templates.
The pods, the volume claim and the policy are Kubernetes' own; kubernetes-validate, which is 100 MB large, checks these.
"""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

RAYJOB = Path(__file__).parents[2] / "cluster" / "rayjob.yaml"
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
POD = {"type": "object", "required": ["spec"]}


def fields(required: str = "", **types: Any) -> dict[str, Any]:
    """A schema of an object with these fields and no others. A type is a schema, or its name."""
    properties = {name: {"type": kind} if isinstance(kind, str) else kind for name, kind in types.items()}
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


COUNT = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
AUTH = fields(mode={"enum": ["disabled", "token"]}, secretName="string", enableK8sTokenAuth="boolean")
HEAD = fields(
    "template rayStartParams",
    template=POD,
    rayStartParams=STRINGS,
    headService="object",
    enableIngress="boolean",
    serviceType="string",
    labels=STRINGS,
    resources=STRINGS,
)
WORKERS = fields(
    "groupName minReplicas maxReplicas rayStartParams template",
    groupName="string",
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    idleTimeoutSeconds=COUNT,
    numOfHosts=COUNT,
    rayStartParams=STRINGS,
    template=POD,
    scaleStrategy="object",
    suspend="boolean",
    labels=STRINGS,
    resources=STRINGS,
)
CLUSTER = fields(
    "headGroupSpec",
    authOptions=AUTH,
    rayVersion="string",
    headGroupSpec=HEAD,
    workerGroupSpecs={"type": "array", "items": WORKERS},
    autoscalerOptions="object",
    enableInTreeAutoscaling="boolean",
    gcsFaultToleranceOptions="object",
    headServiceAnnotations=STRINGS,
    managedBy="string",
    suspend="boolean",
)
JOB = fields(
    entrypoint="string",
    entrypointNumCpus="number",
    entrypointNumGpus="number",
    entrypointResources="string",
    runtimeEnvYAML="string",
    jobId="string",
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode"]},
    submitterConfig=fields(backoffLimit=COUNT),
    submitterPodTemplate=POD,
    rayClusterSpec=CLUSTER,
    clusterSelector=STRINGS,
    metadata=STRINGS,
    managedBy="string",
    backoffLimit=COUNT,
    activeDeadlineSeconds=COUNT,
    ttlSecondsAfterFinished=COUNT,
    shutdownAfterJobFinishes="boolean",
    deletionStrategy="object",
    suspend="boolean",
)
FIELDS = fields(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=fields("name", name="string", labels=STRINGS, annotations=STRINGS, namespace="string"),
    spec=JOB,
)


def documents() -> dict[str, Any]:
    return {each["kind"]: each for each in yaml.safe_load_all(RAYJOB.read_text())}


def test_simple():
    jsonschema.validate(documents()["RayJob"], FIELDS)


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ((), "backofLimit", 3),
        ((), "ttlSecondsAfterFinished", "600"),
        (("rayClusterSpec", "authOptions"), "mode", "tokens"),
        (("rayClusterSpec", "headGroupSpec", "rayStartParams"), "num-cpus", 2),
        (("rayClusterSpec", "workerGroupSpecs", 0), "replica", 4),
    ],
)
def test_mistakes_are_found(path: tuple[Any, ...], name: str, value: object):
    job = documents()["RayJob"]
    part = job["spec"]
    for step in path:
        part = part[step]
    part[name] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(job, FIELDS)


def test_pods():
    """Kubernetes' own objects, strictly: a field that it does not know is an error."""
    check = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate").validate
    found = documents()
    job = found.pop("RayJob")["spec"]
    groups = [job["rayClusterSpec"]["headGroupSpec"], *job["rayClusterSpec"]["workerGroupSpecs"]]
    templates = [job["submitterPodTemplate"], *(group["template"] for group in groups)]
    pods = [{"apiVersion": "v1", "kind": "Pod", **template} for template in templates]
    assert len(pods) == 3
    for each in [*found.values(), *pods]:
        check(each, "1.37", strict=True)
