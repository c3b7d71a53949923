"""cluster/rayjob.yaml against what KubeRay and Kubernetes accept.

FIELDS has the fields and types of KubeRay's custom resource RayJob (ray.io/v1) that the file may use. Any other field
is an error, as for `kubectl apply --validate=strict`. They follow KubeRay's Go types and, for authOptions, the API
reference of v1.6.2; KubeRay's own fields of rayClusterSpec were compared with the CRD in its Helm chart, at commit
017710c. The CRD, of 900,000 characters, is not copied here.
The pods, the volume claim and the policy are Kubernetes' own. POD has the fields of pods that the file may use;
kubernetes-validate, which is 100 MB large, knows all fields of all three.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

RAYJOB = Path(__file__).parents[2] / "cluster" / "rayjob.yaml"
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}


def fields(required: str = "", **types: Any) -> dict[str, Any]:
    """A schema of an object with these fields and no others. A type is a schema, or its name."""
    properties = {name: {"type": kind} if isinstance(kind, str) else kind for name, kind in types.items()}
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


def list_of(kind: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": kind}


COUNT = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
QUANTITY = {"type": ["integer", "string"], "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|[KMGT]i|[MGT])?$"}
METADATA = fields(name="string", namespace="string", labels=STRINGS, annotations=STRINGS)
SECCOMP = fields("type", type={"enum": ["RuntimeDefault", "Localhost", "Unconfined"]}, localhostProfile="string")
USER = {"runAsNonRoot": "boolean", "runAsUser": COUNT, "runAsGroup": COUNT, "seccompProfile": SECCOMP}
CAPABILITIES = fields(add=list_of({"type": "string"}), drop=list_of({"type": "string"}))
AMOUNTS = {"type": "object", "additionalProperties": QUANTITY}
CONTAINER = fields(
    "name",
    name="string",
    image="string",
    imagePullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
    command=list_of({"type": "string"}),
    args=list_of({"type": "string"}),
    env=list_of(fields("name", name="string", value="string", valueFrom="object")),
    ports=list_of(fields("containerPort", name="string", containerPort=COUNT, protocol="string")),
    resources=fields(requests=AMOUNTS, limits=AMOUNTS),
    securityContext=fields(
        **USER,
        allowPrivilegeEscalation="boolean",
        capabilities=CAPABILITIES,
        privileged="boolean",
        readOnlyRootFilesystem="boolean",
    ),
    volumeMounts=list_of(
        fields("name mountPath", name="string", mountPath="string", subPath="string", readOnly="boolean")
    ),
)
VOLUME = fields(
    "name",
    name="string",
    persistentVolumeClaim=fields("claimName", claimName="string", readOnly="boolean"),
    emptyDir=fields(medium={"enum": ["", "Memory"]}, sizeLimit=QUANTITY),
)
POD = fields(
    "spec",
    metadata=METADATA,
    spec=fields(
        "containers",
        containers={"minItems": 1, **list_of(CONTAINER)},
        volumes=list_of(VOLUME),
        restartPolicy={"enum": ["Always", "OnFailure", "Never"]},
        automountServiceAccountToken="boolean",
        terminationGracePeriodSeconds=COUNT,
        securityContext=fields(**USER, fsGroup=COUNT),
        nodeSelector=STRINGS,
        tolerations=list_of({"type": "object"}),
    ),
)
MANAGER = {"enum": ["ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"]}
AUTH = fields(mode={"enum": ["disabled", "token"]}, secretName="string", enableK8sTokenAuth="boolean")
HEAD = fields(
    "template",
    template=POD,
    rayStartParams=STRINGS,
    headService="object",
    enableIngress="boolean",
    serviceType="string",
    labels=STRINGS,
    resources=STRINGS,
)
WORKERS = fields(
    "groupName minReplicas maxReplicas template",
    groupName="string",
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    idleTimeoutSeconds=COUNT,
    numOfHosts=COUNT,
    rayStartParams=STRINGS,
    template=POD,
    scaleStrategy=fields(workersToDelete=list_of({"type": "string"})),
    suspend="boolean",
    labels=STRINGS,
    resources=STRINGS,
)
CLUSTER = fields(
    "headGroupSpec",
    authOptions=AUTH,
    rayVersion="string",
    headGroupSpec=HEAD,
    workerGroupSpecs=list_of(WORKERS),
    autoscalerOptions="object",
    enableInTreeAutoscaling="boolean",
    gcsFaultToleranceOptions="object",
    headServiceAnnotations=STRINGS,
    managedBy=MANAGER,
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
    managedBy=MANAGER,
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
    metadata={**METADATA, "required": ["name"]},
    spec=JOB,
)


CHECK = jsonschema.Draft202012Validator(FIELDS)


@cache
def _read() -> str:
    return json.dumps({each["kind"]: each for each in yaml.safe_load_all(RAYJOB.read_text())})


def documents() -> dict[str, Any]:
    """The file's objects, in which nothing is shared: YAML's aliases are one object each."""
    found: dict[str, Any] = json.loads(_read())
    return found


def test_simple():
    CHECK.validate(documents()["RayJob"])


CLUSTER_PATH = ("rayClusterSpec",)
HEAD_PATH = (*CLUSTER_PATH, "headGroupSpec")
POD_PATH = (*HEAD_PATH, "template", "spec")
GONE = None  # instead of a value: the field is removed


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ((), "backofLimit", 3),
        ((), "ttlSecondsAfterFinished", "600"),
        ((), "submissionMode", "K8SJobMode"),
        (CLUSTER_PATH, "headGroupSpec", GONE),
        ((*CLUSTER_PATH, "authOptions"), "mode", "tokens"),
        ((*HEAD_PATH, "rayStartParams"), "num-cpus", 2),
        ((*CLUSTER_PATH, "workerGroupSpecs", 0), "replica", 4),
        ((*CLUSTER_PATH, "workerGroupSpecs", 0), "minReplicas", GONE),
        (POD_PATH, "containers", GONE),
        (POD_PATH, "restartPolicy", "Sometimes"),
        (POD_PATH, "terminationGracePeriodSecond", 60),
        ((*POD_PATH, "securityContext"), "runAsUser", "1000"),
        ((*POD_PATH, "volumes", 1, "emptyDir"), "sizeLimit", "2 GiB"),
        ((*POD_PATH, "containers", 0, "env", 0), "value", 0),
        ((*POD_PATH, "containers", 0, "resources", "limits"), "memory", "6GiB"),
        ((*POD_PATH, "containers", 0, "volumeMounts", 0), "mountpath", "/data"),
    ],
)
def test_mistakes_are_found(path: tuple[Any, ...], name: str, value: object):
    job = documents()["RayJob"]
    part = job["spec"]
    for step in path:
        part = part[step]
    if value is GONE:
        del part[name]
    else:
        part[name] = value
    (found,) = CHECK.iter_errors(job)
    assert list(found.absolute_path)[: len(path) + 1] == ["spec", *path]
    assert name in [*found.absolute_path, *found.message.split("'")]


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
