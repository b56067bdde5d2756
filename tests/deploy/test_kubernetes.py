"""The files of deploy/kubernetes say what compose.yaml does. Whether they are in the API's form is
`make check-kubernetes`.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local import application
from lumikb import urls
from tests.deploy.test_deployment import (
    COMPOSE,
    DEPLOY,
    DOCKERFILE,
    KINDS,
    README,
    example_variables,
    given_by_compose,
    make_secrets,
)

FOLDER = DEPLOY / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
OBJECTS = [
    each
    for name in KUSTOMIZATION["resources"]
    for each in yaml.safe_load_all((FOLDER / name).read_text())
]
STAY = ("web", "worker", "relay", "reconcile")
MEMORY = {"m": 1024**2, "g": 1024**3, "Mi": 1024**2, "Gi": 1024**3}
# Of servers that compose.yaml starts, or of what .env says: here both come from settings.env.
FROM_SETTINGS = {
    *("S3_BUCKET", "S3_ENDPOINT_URL", "QDRANT_URL", "EMBEDDING_API_BASE"),
    *("WEB_PROCESSES", "WORKER_PROCESSES", "RELAY_PROCESSES"),
}


def one(kind: str, name: str) -> dict[str, Any]:
    [found] = [e for e in OBJECTS if (e["kind"], e["metadata"]["name"]) == (kind, name)]
    return found


def pod(name: str) -> dict[str, Any]:
    return one("Job" if name == "migrate" else "Deployment", name)["spec"]["template"]


def container(name: str) -> dict[str, Any]:
    [only] = pod(name)["spec"]["containers"]
    return only


def environment(name: str) -> dict[str, str]:
    return {each["name"]: each.get("value") for each in container(name)["env"]}


def size(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(\w+)", text).groups()  # type: ignore[union-attr]
    return int(number) * MEMORY[unit]


def test_all_files_are_used_but_the_example():
    files = {path.name for path in FOLDER.glob("*.yaml")}
    assert files - {*KUSTOMIZATION["resources"]} == {"kustomization.yaml", "ingress.example.yaml"}


@pytest.mark.parametrize("name", KINDS)
def test_a_process_gets_the_secrets_that_compose_gives_it_and_no_others(name):
    [generator] = [each for each in KUSTOMIZATION["secretGenerator"] if each["name"] == name]
    files = {}
    for line in generator["files"]:
        key, _, path = line.rpartition("=")
        files[f"/run/secrets/{key or Path(path).name}"] = Path(path).name
    read = {key: path for key, path in environment(name).items() if key.endswith("_FILE")}
    assert sorted(read.values()) == sorted(files)
    given = {key.removesuffix("_FILE"): files[path] for key, path in read.items()}
    assert given == given_by_compose(name)
    volumes = {each["name"]: each for each in pod(name)["spec"]["volumes"]}
    assert volumes.keys() == {"secrets", "tmp"}
    assert volumes["secrets"]["secret"] == {"secretName": name, "defaultMode": 0o440}


@pytest.mark.parametrize("name", KINDS)
def test_a_process_gets_the_settings_that_compose_gives_it(name):
    assert container(name)["envFrom"] == [{"configMapRef": {"name": "settings"}}]
    theirs = {
        key: value
        for key, value in COMPOSE["services"][name]["environment"].items()
        if key not in FROM_SETTINGS
    }
    ours = environment(name)
    if name == "web":
        names = ours.pop("NAMES"), ours.pop("ALLOWED_HOSTS").removeprefix("$(NAMES)")
        assert names == (None, theirs["ALLOWED_HOSTS"].partition("}")[2])
        per_pod = int(ours.pop("WEB_CONCURRENCY"))
        pods = one("Deployment", "web")["spec"]["replicas"]
        assert per_pod * pods == int(example_variables("")["WEB_PROCESSES"])
        del theirs["WEB_CONCURRENCY"]
    theirs.pop("ALLOWED_HOSTS")  # the others are asked nothing
    assert ours == theirs


def test_the_settings_are_those_of_the_example():
    [generator] = KUSTOMIZATION["configMapGenerator"]
    assert generator["name"] == "settings"
    assert generator["envs"] == ["settings.env"]
    assert "cp ../.env.example settings.env" in (FOLDER / "kustomization.yaml").read_text()


@pytest.mark.parametrize("name", KINDS)
def test_a_process_is_started_as_by_compose(name):
    assert container(name)["image"] == KUSTOMIZATION["images"][0]["name"] == "lumikb"
    assert container(name).get("command") == COMPOSE["services"][name].get("command")
    assert "args" not in container(name)


def test_as_many_are_started_as_the_budget_of_connections_counts():
    for name in ("worker", "relay"):
        deployment = one("Deployment", name)["spec"]
        assert deployment["replicas"] == int(example_variables("")[f"{name.upper()}_PROCESSES"])
        assert deployment["strategy"]["rollingUpdate"]["maxSurge"] == 0


@pytest.mark.parametrize("name", KINDS)
def test_every_pod_is_confined_as_by_compose(name):
    spec = pod(name)["spec"]
    [user] = re.findall(r"^USER (\d+):\1$", DOCKERFILE, re.MULTILINE)
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        **dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), int(user)),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["shareProcessNamespace"] is True
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
    writable = [m["mountPath"] for m in container(name)["volumeMounts"] if not m.get("readOnly")]
    assert writable == COMPOSE["services"][name]["volumes"] == ["/tmp"]  # noqa: S108 (in a pod)
    limits, theirs = container(name)["resources"]["limits"], COMPOSE["services"][name]["deploy"]
    assert limits["cpu"] == theirs["resources"]["limits"]["cpus"]
    assert size(limits["memory"]) >= size(theirs["resources"]["limits"]["memory"])


def test_a_worker_has_memory_for_all_its_parsers(settings):
    """Kubernetes kills the container, not the parser."""
    parsers = 4 * settings.PARSE_MEMORY_BYTES
    assert size(container("worker")["resources"]["limits"]["memory"]) > parsers + 400 * 1024**2


def test_the_web_is_asked_for_its_health_where_it_has_it():
    paths = {str(pattern.pattern) for pattern in urls.urlpatterns}
    asked = {each: container("web")[f"{each}Probe"]["httpGet"] for each in ("startup", "liveness")}
    asked["readiness"] = container("web")["readinessProbe"]["httpGet"]
    assert {name: get["path"] for name, get in asked.items()} == {
        "startup": "/health/live",
        "liveness": "/health/live",
        "readiness": "/health/serving",
    }
    for get in asked.values():
        assert get["path"].removeprefix("/") in paths
        assert get["httpHeaders"] == [{"name": "Host", "value": "127.0.0.1"}]
        assert get["port"] == "http"
    [port] = container("web")["ports"]
    assert f"EXPOSE {port['containerPort']}\n" in DOCKERFILE
    for name in {*KINDS} - {"web"}:
        assert COMPOSE["services"][name]["healthcheck"] == {"disable": True}
        assert not [key for key in container(name) if key.endswith("Probe")]


@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_killed_while_it_may_still_stop_by_itself(name):
    pause = container(name).get("lifecycle", {}).get("preStop", {})
    seconds = int(pause["exec"]["command"][1]) if pause else 0
    assert pod(name)["spec"]["terminationGracePeriodSeconds"] > application.STOP_SECONDS + seconds


def test_whoever_selects_pods_finds_those_of_its_name():
    labels = {name: pod(name)["metadata"]["labels"] for name in KINDS}
    for each in OBJECTS:
        name, spec = each["metadata"]["name"], each["spec"]
        selector = spec.get("selector") or spec.get("podSelector")
        if not selector:
            continue
        wanted = selector.get("matchLabels", selector)
        found = {kind for kind in KINDS if wanted.items() <= labels[kind].items()}
        assert found == ({*KINDS} if name == "lumikb" else {name}), (each["kind"], name)


def test_while_nodes_are_emptied_one_of_each_goes_on():
    for name in ("web", "worker", "relay"):
        assert one("PodDisruptionBudget", name)["spec"]["maxUnavailable"] == 1
        assert one("Deployment", name)["spec"]["replicas"] > 1
    assert one("Deployment", "web")["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_nothing_names_a_namespace():
    assert "namespace" not in KUSTOMIZATION
    assert not [each for each in OBJECTS if "namespace" in each["metadata"]]


def test_the_migration_is_applied_with_all_that_it_reads():
    """By one label, before the rest: README.md."""
    label = {"app.kubernetes.io/component": "migrate"}
    assert label.items() <= one("Job", "migrate")["metadata"]["labels"].items()
    generators = [*KUSTOMIZATION["configMapGenerator"], *KUSTOMIZATION["secretGenerator"]]
    labelled = {each["name"] for each in generators if each.get("options") == {"labels": label}}
    assert labelled == {"settings", "migrate"}


def test_the_ingress_finds_the_web_and_the_readme_says_what_it_must_let_through():
    ingress = yaml.safe_load((FOLDER / "ingress.example.yaml").read_text())
    [path] = ingress["spec"]["rules"][0]["http"]["paths"]
    service = one("Service", "web")
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    assert path["backend"]["service"]["port"]["name"] == service["spec"]["ports"][0]["name"]
    [limit] = re.findall(
        r"client_max_body_size (\d+)m;", (DEPLOY / "nginx/lumikb.conf").read_text()
    )
    assert f"bodies of up to {limit} MB" in README


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl renders it")
def test_kustomize_renders_it(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "k", ignore=shutil.ignore_patterns("secrets", "*.env"))
    shutil.copy(DEPLOY / ".env.example", tmp_path / "k/settings.env")
    make_secrets(tmp_path / "k/secrets")
    kubectl = str(shutil.which("kubectl"))
    rendered = subprocess.run(
        [kubectl, "kustomize", tmp_path / "k"], capture_output=True, text=True, check=True
    )
    objects = list(yaml.safe_load_all(rendered.stdout))
    by_kind = {each["metadata"]["name"]: each for each in objects if each["kind"] == "Deployment"}
    assert by_kind.keys() == {*STAY}
    names = {each["metadata"]["name"] for each in objects if each["kind"] == "Secret"}
    for kind, deployment in by_kind.items():
        volumes = deployment["spec"]["template"]["spec"]["volumes"]
        [secret] = [each["secret"]["secretName"] for each in volumes if "secret" in each]
        assert secret in names
        assert secret.startswith(f"{kind}-")
    [settings] = [each["data"] for each in objects if each["kind"] == "ConfigMap"]
    assert settings == example_variables("")
