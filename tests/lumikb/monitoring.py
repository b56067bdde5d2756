"""What Prometheus would do: scrape /metrics, evaluate the rules, and say which alerts fire."""

import math
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from tests.lumikb.promql import Scrape, first_minute_of

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
BEFORE, AFTER = 5, 26  # minutes that each of the two scrapes lasts; the longest `for` is 15
TOKEN = "the-token"  # in the scrape configuration
TARGET = {"job": "lumikb", "instance": "web:8000"}


@dataclass(frozen=True, slots=True)
class Alert:
    name: str
    expression: str
    lasting: timedelta
    summary: str
    runbook: str


def alerts() -> list[Alert]:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    return [_alert(rule) for rule in group["rules"]]


def scrape() -> Scrape:
    """The samples of /metrics as Prometheus keeps them, `up` among them."""
    answer = Client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    up = ("up", frozenset(TARGET.items()))
    if answer.status_code != 200:
        return {up: 0.0}
    samples = {
        (sample.name, frozenset((sample.labels | TARGET).items())): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }
    return samples | {up: 1.0}


def firing(before: Scrape, after: Scrape, tmp_path: Path) -> set[str]:
    """The alerts that fire when all was as `before` for some minutes, and is as `after` since."""
    scrapes = [before] * BEFORE + [after] * AFTER
    fired = {
        alert.name
        for alert in alerts()
        if first_minute_of(alert.expression, scrapes, alert.lasting) is not None
    }
    if promtool := shutil.which("promtool"):
        _promtool_agrees(promtool, before, after, fired, tmp_path)
    return fired


def _alert(rule: dict[str, Any]) -> Alert:
    minutes = int(re.fullmatch(r"(\d+)m", rule.get("for", "0m"))[1])  # type: ignore[index]
    notes = rule["annotations"]
    lasting = timedelta(minutes=minutes)
    return Alert(rule["alert"], rule["expr"], lasting, notes["summary"], notes["runbook_url"])


def _promtool_agrees(
    promtool: str, before: Scrape, after: Scrape, fired: set[str], tmp_path: Path
) -> None:
    series = [
        {"series": _notation(*key), "values": _values(before.get(key), after.get(key))}
        for key in before | after
    ]
    firing = 'max by (alertname) (max_over_time(ALERTS{alertstate="firing"}[2h]))'
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(fired)]
    test = {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{BEFORE + AFTER - 1}m", "exp_samples": expected}
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]})
    )
    command = [promtool, "test", "rules", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _notation(name: str, labels: frozenset[tuple[str, str]]) -> str:
    return name + "{" + ",".join(f'{label}="{value}"' for label, value in sorted(labels)) + "}"


def _values(before: float | None, after: float | None) -> str:
    first = _repeated(before, BEFORE)
    gone = before is not None and after is None  # Prometheus then marks the series as stale
    return f"{first} stale" if gone else f"{first} {_repeated(after, AFTER)}"


def _repeated(value: float | None, times: int) -> str:
    if value is None:
        return f"_x{times}"
    if math.isinf(value):
        return " ".join(["Inf"] * times)
    return f"{value:f}+0x{times - 1}"
