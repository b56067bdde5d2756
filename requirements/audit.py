"""`make audit`: are there known vulnerabilities in the packages that we pin?

Asks PyPI's advisories by pip-audit. Exit code 0: none but those in IGNORED; 1: some, or a package
that could not be looked up; 3: no advisories are to be had, as from a mirror without them, so that
nothing was audited. pip-audit alone calls that "No known vulnerabilities found".
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FILES = [
    f"requirements/{file.name}"
    for file in sorted(Path(__file__).parent.glob("*.txt"))
    if file.name != "overrides.txt"
]
# Who knows of no vulnerability in this release knows of none: it has PYSEC-2023-61 and others.
KNOWN_VULNERABLE = "django==4.2"
# Advisories that do not concern us, each with the reason.
IGNORED: dict[str, str] = {}


def main() -> int:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as canary:
        canary.write(KNOWN_VULNERABLE)
        canary.flush()
        if not any(each.get("vulns") for each in audit(canary.name, "--no-deps")):
            print(
                "NOT AUDITED: no advisories are to be had here; the package index names none for "
                f"{KNOWN_VULNERABLE}, which has many. Run it where PyPI itself is reached."
            )
            return 3
    return max([_report(file) for file in FILES])


def _report(file: str) -> int:
    packages = audit(file, "--require-hashes")
    problems = [
        f"{package['name']} {package['version']}: {each['id']}, mended in {each['fix_versions']}"
        for package in packages
        for each in package.get("vulns", ())
    ] + [
        f"{package['name']} was not looked up: {package['skip_reason']}"
        for package in packages
        if "skip_reason" in package
    ]
    print(f"{file}: {len(packages)} packages, {len(problems)} problems", *problems, sep="\n  ")
    return bool(problems)


def audit(file: str, *options: str) -> list[dict[str, Any]]:
    """What pip-audit says of each package of a requirements file."""
    ignored = [part for each in IGNORED for part in ("--ignore-vuln", each)]
    command = [
        *(sys.executable, "-m", "pip_audit", "--requirement", file, "--disable-pip"),
        *("--format", "json", "--progress-spinner", "off", *options, *ignored),
    ]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        sys.exit(f"pip-audit failed:\n{done.stderr}")
    return packages


if __name__ == "__main__":
    sys.exit(main())
