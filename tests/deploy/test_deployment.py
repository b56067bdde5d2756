"""The files of deploy/ agree with the code and with each other. Whether the tools that read them
accept them is `make check-deploy`.
"""

import ast
import configparser
import os
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from django.core.management import get_commands

from deploy.local import application, needs, postgres
from formats import tessdata
from lumikb import checks

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
EXAMPLE = (DEPLOY / ".env.example").read_text()
UNITS = {path.name: path for path in (DEPLOY / "systemd").glob("*.service")}
README = (DEPLOY / "README.md").read_text()

OURS = ("web", "worker", "relay", "reconcile", "migrate", "manage")
FOR_COMPOSE = {
    *("COMPOSE_FILE", "HTTP_PORT", "HTTPS_PORT", "LUMIKB_IMAGE", "LUMIKB_VERSION"),
    "OCR_PACKAGES",
}
NOT_IN_PRODUCTION = {"DEBUG"}


# --- Variables ----------------------------------------------------------------------------------


def settings_variables() -> dict[str, object]:
    """Every variable that settings.py reads, with its default; `...` where it has none."""
    found = {}
    for node in ast.walk(ast.parse((ROOT / "lumikb/settings.py").read_text())):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="env")),
                args=[ast.Constant(value=str(name)), *default],
            ):
                found.setdefault(name, _value(default[0]) if default else ...)
    return found


def _value(node: ast.expr) -> object:
    text = ast.unparse(node)
    try:
        return eval(text, {"MiB": 1024 * 1024, "env": None})  # noqa: S307 (our own settings)
    except AttributeError:  # another variable's
        return ...


def example_variables(prefix: str = "#?") -> dict[str, str]:
    return dict(re.findall(rf"^{prefix}([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE, re.MULTILINE))


def secret_variables() -> set[str]:
    """Those that compose.yaml reads from files."""
    names = {name for service in OURS for name in COMPOSE["services"][service]["environment"]}
    return {name.removesuffix("_FILE") for name in names if name.endswith("_FILE")}


def test_every_setting_is_documented_or_a_secret():
    lacking = settings_variables().keys() - example_variables().keys()
    assert lacking - secret_variables() == NOT_IN_PRODUCTION


def test_every_documented_variable_is_read_by_somebody():
    read_elsewhere = FOR_COMPOSE | {"WEB_CONCURRENCY"}  # lumikb/gunicorn.py
    assert example_variables().keys() - settings_variables().keys() == read_elsewhere
    compose = "".join(path.read_text() for path in DEPLOY.glob("compose*.yaml"))
    interpolated = set(re.findall(r"\$\{([A-Z0-9_]+)", compose)) | {"COMPOSE_FILE"}
    assert interpolated >= FOR_COMPOSE
    assert example_variables().keys() >= interpolated


def test_the_defaults_that_are_documented_are_those_of_the_settings():
    commented = example_variables("#")
    for name, default in settings_variables().items():
        if name in commented and default not in (..., None, ""):
            text = "" if default == [] else str(default)
            assert commented[name] == text or f"${{{name}:-{commented[name]}}}" in _compose_text()


def test_the_defaults_of_compose_are_those_that_are_documented():
    for name, default in re.findall(r"\$\{([A-Z0-9_]+):-([^}]*)\}", _compose_text()):
        if name not in ("S3_ENDPOINT_URL", "QDRANT_URL"):  # its own servers
            assert example_variables()[name] == default, name


def _compose_text() -> str:
    return "".join(path.read_text() for path in DEPLOY.glob("compose*.yaml"))


def test_the_example_means_the_same_to_docker_and_to_systemd():
    for line in EXAMPLE.splitlines():
        assert re.fullmatch(r"(#.*|[A-Z][A-Z0-9_]*=[^#\"'$\\]*|)", line), line


# --- Secrets ------------------------------------------------------------------------------------


@pytest.fixture
def secrets(tmp_path):
    make_secrets(tmp_path)
    return {path.name: path.read_text().strip() for path in tmp_path.iterdir()}


def make_secrets(directory: Path) -> None:
    subprocess.run([DEPLOY / "make-secrets", directory], check=True, stdout=subprocess.DEVNULL)


def test_make_secrets_makes_what_compose_and_the_units_read(secrets):
    assert {f"secrets/{name}" for name in secrets} == {
        secret["file"] for secret in COMPOSE["secrets"].values()
    }
    for unit in UNITS:
        for source in credentials(unit).values():
            assert source.removeprefix("/etc/lumikb/secrets/") in secrets


def test_the_passwords_of_the_roles_are_those_of_the_urls(secrets):
    for kind, role in zip(("owner", "web", "worker", "ops"), postgres.ROLES, strict=True):
        url = urlsplit(secrets[f"{kind}_database_url"])
        assert url.username == role
        assert f"ALTER ROLE {role} PASSWORD '{url.password}';" in secrets["role_passwords.sql"]
    assert secrets["redis_auth.conf"].removeprefix("requirepass ") in secrets["redis_url"]
    assert secrets["qdrant_api_key"] in secrets["qdrant.yaml"]


def test_no_two_secrets_are_alike_and_a_second_run_changes_none(secrets, tmp_path):
    own = [text for name, text in secrets.items() if text and name.endswith(("key", "password"))]
    assert len(set(own)) == len(own)
    (tmp_path / "qdrant.yaml").unlink()
    make_secrets(tmp_path)
    assert {path.name: path.read_text().strip() for path in tmp_path.iterdir()} == secrets


def test_only_their_owner_gets_at_the_secrets(secrets, tmp_path):
    assert os.stat(tmp_path).st_mode & 0o777 == 0o700


KINDS = ("web", "worker", "relay", "reconcile", "migrate")


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_gets_the_secrets_that_it_needs_and_no_others(kind):
    """As those of `make run` do; test_make_run.py says of each which they are."""
    of_role = {"worker": "worker", "relay": "ops", "reconcile": "ops", "migrate": "owner"}
    expected = {name: name.lower() for name in needs.NEEDS[kind]}
    expected["DATABASE_URL"] = f"{of_role.get(kind, 'web')}_database_url"
    if kind == "web":  # make run has neither of them
        expected |= {name: name.lower() for name in ("EMAIL_URL", "OIDC_CLIENT_SECRET")}
    assert given_by_compose(kind) == expected
    [unit] = [unit for unit in UNITS if re.match(rf"lumikb-{kind}@?\.service", unit)]
    paths = credentials(unit)
    assert {name: paths[name.lower()].rpartition("/")[2] for name in files_of(unit)} == expected
    assert len(paths) == len(expected)


def given_by_compose(service: str) -> dict[str, str]:
    """The secret that each variable NAME_FILE of a service names. All that is given is named."""
    given = {}
    for secret in COMPOSE["services"][service]["secrets"]:
        each = {"source": secret, "target": secret} if isinstance(secret, str) else secret
        given[f"/run/secrets/{each['target']}"] = each["source"]
    environment = COMPOSE["services"][service]["environment"]
    read = {name: path for name, path in environment.items() if name.endswith("_FILE")}
    assert sorted(read.values()) == sorted(given)
    return {name.removesuffix("_FILE"): given[path] for name, path in read.items()}


def files_of(unit: str) -> list[str]:
    """The variables of a unit that are in files."""
    names = [name for name in unit_environment(unit) if name.endswith("_FILE")]
    return [name.removesuffix("_FILE") for name in names]


def test_commands_by_hand_get_what_the_reconciler_does():
    assert given_by_compose("manage") == given_by_compose("reconcile")


def test_no_process_has_a_secret_among_its_other_variables():
    """All of them read .env."""
    assert not secret_variables() & example_variables().keys()
    for service in OURS:
        for name, value in COMPOSE["services"][service]["environment"].items():
            assert name not in secret_variables() or "@" not in value, (service, name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_starts_with_these_secrets_alone(kind, tmp_path):
    """And the web with no fewer."""
    environment = production_environment(kind, tmp_path)
    assert start_of(kind, environment).returncode == 0
    without_key = {name: environment[name] for name in environment if name != "SECRET_KEY_FILE"}
    started = start_of(kind, without_key)
    assert (started.returncode == 0) == (kind != "web"), started.stderr
    assert kind != "web" or '"SECRET_KEY" not set' in started.stderr


def production_environment(kind: str, directory: Path) -> dict[str, str]:
    """What compose.yaml gives to a process, its secrets in `directory`."""
    make_secrets(directory)
    service = COMPOSE["services"][kind]["environment"]
    sources = given_by_compose(kind)
    environment = {name: re.sub(r"\$\{\w+:[-?]([^}]*)\}", r"\1", service[name]) for name in service}
    environment |= {f"{name}_FILE": str(directory / file) for name, file in sources.items()}
    return environment | example_variables("")


def start_of(kind: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A process that reads its settings, and asks no server."""
    code = "import lumikb.wsgi" if kind == "web" else "import lumikb.settings"
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "lumikb.settings"} | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


# --- Commands -----------------------------------------------------------------------------------


def unit_settings(name: str) -> dict[str, list[str]]:
    """The [Service] section of a unit, after that of common.conf."""
    settings = defaultdict(list)
    for path in (DEPLOY / "systemd/lumikb-.service.d/common.conf", UNITS[name]):
        section = path.read_text().partition("[Service]")[2].partition("\n[")[0]
        for line in section.splitlines():
            if line and not line.startswith("#"):
                key, _, value = line.partition("=")
                settings[key].append(value)
    return settings


def credentials(unit: str) -> dict[str, str]:
    return dict(each.split(":", 1) for each in unit_settings(unit)["LoadCredential"])


def unit_command(name: str) -> list[str]:
    python, *arguments = shlex.split(unit_settings(name)["ExecStart"][0])
    assert python == "/opt/lumikb/.venv/bin/python"
    return arguments


def compose_command(name: str) -> list[str]:
    python, *arguments = COMPOSE["services"][name]["command"]
    assert python == "python"
    return arguments


def test_workers_are_started_as_those_of_make_run():
    worker = application.worker({})
    assert compose_command("worker") == list(worker.argv[1:])
    assert unit_command("lumikb-worker@.service") == list(worker.argv[1:])
    service = COMPOSE["services"]["worker"]["environment"]
    assert worker.env.items() <= service.items()
    assert worker.env.items() <= unit_environment("lumikb-worker@.service").items()


def unit_environment(name: str) -> dict[str, str]:
    lines = " ".join(unit_settings(name)["Environment"])
    return dict(pair.split("=", 1) for pair in shlex.split(lines))


def test_the_web_is_started_as_that_of_make_run():
    expected = list(application.web({}, "127.0.0.1", 8000).argv[1:])
    assert unit_command("lumikb-web.service") == expected
    [line] = re.findall(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)
    everywhere = [argument.replace("127.0.0.1", "0.0.0.0") for argument in expected]  # noqa: S104
    assert ast.literal_eval(line) == ["python", *everywhere]


@pytest.mark.parametrize("name", ["relay", "reconcile", "migrate"])
def test_management_commands_exist(name):
    [unit] = [unit for unit in UNITS if re.match(rf"lumikb-{name}@?\.service", unit)]
    for manage, command, *_ in (compose_command(name), unit_command(unit)):
        assert manage == "manage.py"
        assert command == name
        assert command in get_commands()


def test_a_unit_gives_each_secret_to_the_setting_of_its_name():
    for name in UNITS:
        read = {
            variable.removesuffix("_FILE").lower(): path
            for variable, path in unit_environment(name).items()
            if variable.endswith("_FILE")
        }
        assert read == {credential: f"%d/{credential}" for credential in credentials(name)}, name


def test_the_image_has_the_languages_that_compose_asks_for():
    [default] = re.findall(r'^ARG OCR_PACKAGES="(.*)"$', DOCKERFILE, re.MULTILINE)
    assert example_variables("#")["OCR_PACKAGES"] == default
    assert "osd" in default.split(), "how a page stands"
    folder = "/usr/share/tesseract-ocr/5/tessdata"  # where Debian 12 to 13 have it
    assert folder in tessdata.FOLDERS
    assert re.findall(r"^FROM (\S+)$", DOCKERFILE, re.MULTILINE) == ["python:3.11-slim-bookworm"]


def test_the_builder_is_sent_what_the_image_copies():
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE)
    assert {f"!{path.rstrip('/')}" for path in copied} == {
        each for each in ignored if each[0] == "!"
    }
    packages = {path.parent.name for path in ROOT.glob("*/apps.py")} | {"lumikb", "formats"}
    assert packages <= set(copied)


# --- Numbers ------------------------------------------------------------------------------------


def limits() -> dict[str, int]:
    """Of the roles."""
    roles = (DEPLOY / "postgres/roles.sql").read_text()
    found = re.findall(r"ALTER ROLE (\w+) CONNECTION LIMIT (\d+)", roles)
    return {role: int(limit) for role, limit in found}


def server() -> dict[str, int]:
    return {name: int(value) for name, value in postgres._production_settings().items()}


def test_all_processes_together_fit_into_postgresql(settings):
    for name in ("WEB_PROCESSES", "WORKER_PROCESSES", "RELAY_PROCESSES"):
        setattr(settings, name, int(example_variables("")[name]))
    for role, connections in checks.needs().items():
        assert connections <= limits()[role], role
    assert checks._server_errors(server()) == []
    taken = sum(limits().values()) + server()["superuser_reserved_connections"]
    assert taken <= server()["max_connections"]


def test_what_the_readme_says_of_connections_is_so(settings):
    for role, limit in limits().items():
        assert re.search(rf"^\| `{role}` \| .* \| {limit} \|$", README, re.MULTILINE), role
    row = (
        r"^\| (.+) \| (\d+), (\d+), (\d+) \| (\d+) \+ (\d+) \+ (\d+) \| (\d+), (\d+), (\d+); (\d+) "
    )
    rows = {name: [*map(int, rest)] for name, *rest in re.findall(row, README, re.MULTILINE)}
    assert len(rows) == 3
    shipped = [limits()[role] for role in checks.needs()] + [server()["max_connections"]]
    for name, numbers in rows.items():
        settings.WEB_PROCESSES, settings.WORKER_PROCESSES, settings.RELAY_PROCESSES = numbers[:3]
        assert [*checks.needs().values()] == numbers[3:6], name
        *allowed, most = numbers[6:]
        assert all(need <= limit for need, limit in zip(numbers[3:6], allowed, strict=True)), name
        assert sum(allowed) + limits()["lumikb"] + 3 <= most, name
        assert numbers[6:] == shipped or name == "some hosts"


def test_pgbouncer_lets_in_as_many_as_postgresql_does():
    bouncer = configparser.ConfigParser(interpolation=None)
    bouncer.read(DEPLOY / "postgres/pgbouncer.ini")
    users = {role: f"max_user_connections={limits()[role]}" for role in checks.needs()}
    assert dict(bouncer["users"]) == users
    assert bouncer.getint("pgbouncer", "default_pool_size") == max(limits().values())
    waiting = bouncer.getint("pgbouncer", "max_client_conn")
    assert waiting > sum(limits()[role] for role in checks.needs())


def test_what_is_started_is_what_the_budget_counts():
    services = COMPOSE["services"]
    assert services["web"]["environment"]["WEB_CONCURRENCY"] == "${WEB_PROCESSES:-2}"
    assert services["worker"]["deploy"]["replicas"] == "${WORKER_PROCESSES:-2}"
    assert services["relay"]["deploy"]["replicas"] == "${RELAY_PROCESSES:-2}"
    for kind in ("worker", "relay"):
        count = int(example_variables("")[f"{kind.upper()}_PROCESSES"])
        assert f"lumikb-{kind}@{{1..{count}}}" in README


def test_nothing_is_killed_while_it_may_still_stop_by_itself():
    for name in OURS:
        seconds = int(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s"))
        assert seconds > application.STOP_SECONDS, name
    for name in UNITS:
        assert float(unit_settings(name)["TimeoutStopSec"][-1]) > application.STOP_SECONDS, name
        assert unit_settings(name)["KillMode"] == ["mixed"], name


def test_the_edge_lets_through_what_the_application_accepts(settings):
    from documents.uploads import ENVELOPE_BYTES, MOST_LARGE_FILES

    conf = (DEPLOY / "nginx/lumikb.conf").read_text()
    [megabytes] = re.findall(r"client_max_body_size (\d+)m;", conf)
    accepted = MOST_LARGE_FILES * settings.UPLOAD_MAX_BYTES + ENVELOPE_BYTES
    assert accepted <= int(megabytes) * 1024**2 < accepted + 2 * 1024**2


# --- Hardening ----------------------------------------------------------------------------------


def test_only_the_edge_is_published_and_only_litellm_gets_out():
    closed = {name for name, network in COMPOSE["networks"].items() if network}
    for name, service in COMPOSE["services"].items():
        assert ("ports" in service) == (name == "edge"), name
        assert set(service["networks"]) <= closed or name in ("edge", "litellm"), name


def test_every_container_is_confined():
    for name, service in COMPOSE["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}, name
        assert service["restart"] == ("no" if name in ENDS else "unless-stopped"), name
        assert "healthcheck" in service or name in {"web", *ENDS}, name


ENDS = ("migrate", "bucket", "manage", "objects")


@pytest.mark.parametrize(
    ("command", "role", "taken"),
    [
        ("migrate", "", "owner"),
        ("reconcile", "", "ops"),
        ("createsuperuser", "", "ops"),
        ("shell", "web", "web"),
    ],
)
def test_a_command_by_hand_with_systemd_has_the_role_that_it_needs(
    command: str, role: str, taken: str, tmp_path: Path
) -> None:
    secrets = tmp_path / "etc/secrets"
    secrets.mkdir(parents=True)
    (tmp_path / "etc/lumikb.env").write_text("# all\nMAIL_FROM=LumiKB <kb@localhost>\nHTTPS=true")
    for name in {secret["file"].removeprefix("secrets/") for secret in COMPOSE["secrets"].values()}:
        (secrets / name).write_text(f"the {name}\n")
    setpriv = tmp_path / "setpriv"
    setpriv.write_text('#!/bin/sh\nenv; echo "run: $*"\n')
    setpriv.chmod(0o755)
    done = by_hand_with_systemd(tmp_path, command, ROLE=role)
    said = done.stdout.splitlines()
    assert {"MAIL_FROM=LumiKB <kb@localhost>", "HTTPS=true"} <= set(said)
    given = {line.partition("=")[0]: line.partition("=the ")[2] for line in said if "=the " in line}
    kind = "migrate" if taken == "owner" else "reconcile"
    expected = {name: name.lower() for name in needs.NEEDS[kind]}
    assert given == expected | {"DATABASE_URL": f"{taken}_database_url"}
    assert said[-1].endswith(f".venv/bin/python manage.py {command}")


def test_a_command_by_hand_without_systemd_says_what_is_missing(tmp_path: Path) -> None:
    done = by_hand_with_systemd(tmp_path, "migrate")
    assert done.returncode == 1
    assert done.stderr.startswith("There is no LumiKB of systemd here: ")
    assert done.stderr.count("\n") == 1


def by_hand_with_systemd(root: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """deploy/systemd/manage, run by root, with `root` in place of /etc/lumikb and /opt/lumikb."""
    script = (DEPLOY / "systemd/manage").read_text()
    script = script.replace("/etc/lumikb", f"{root}/etc").replace("/opt/lumikb", str(root))
    script = script.replace("$(id -u)", "0")
    return subprocess.run(
        ["/bin/sh", "-c", script, "manage", *command],
        env={"PATH": f"{root}:{os.environ['PATH']}"} | env,
        capture_output=True,
        text=True,
        check=False,
    )
