#!/usr/bin/env python3
"""Compares a running station with docs/openapi.json.

Usage: python3 tests/api/contract.py FOLDER SCHEMATHESIS [SEED], where FOLDER holds `mock-central-station`.

A station of its own on a loopback address, with TLS. As administrator, technician and auditor, each in turn:
requests made from the document, valid ones and ones with something wrong, a fixed number for each operation.
What was sent depends on the seed, which is printed. Exit status 0 means that no answer was a server's error and
each had a status, media type, headers and schema that the document has.
"""

import contextlib
import http.client
import json
import os
import pathlib
import select
import ssl
import subprocess
import sys
import tempfile
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
ADDRESS = "127.0.0.31"
SEED = 20261126
PATIENCE = 60  # seconds that the station may take to start or stop
LONGEST = 600  # seconds after which a run hangs; what it sends is bounded by count
PASSWORDS = {"admin": "correct horse battery", "tess": "staple for tess", "audrey": "staple for audrey"}
# What each role sends: the examples of the document, and chosen requests; the administrator, whose requests reach
# furthest, every bound of each schema too.
CHOSEN = ("--phases", "examples,fuzzing", "--max-examples", "2")
PHASES = {"admin": ("--phases", "examples,coverage,fuzzing", "--max-examples", "3"), "tess": CHOSEN, "audrey": CHOSEN}
# They end the login that the others need: asked in a run of their own, at the end.
LAST = "/api/auth/logout"
ALL = ("--include-tag", "operators", "--exclude-path", LAST)


class Station(contextlib.AbstractContextManager):
    """A station that stays in its own folder."""

    def __init__(self, program, folder):
        password = folder / "password"
        password.touch(mode=0o600)
        password.write_text(PASSWORDS["admin"])
        home = folder / "station"
        listen = ["--listen", f"{ADDRESS}:0", "--device-listen", f"{ADDRESS}:0"]
        # The first of these networks nobody answers in: a pairing ends at once.
        network = ["--device-network", f"{ADDRESS}/32"]
        init = [program, "init", home, "--password-file", password, *listen, *network]
        subprocess.run(init, check=True, stdout=subprocess.DEVNULL)
        self.anchor = home / "anchor.pem"
        self.log = (folder / "log").open("w+")
        run = [program, "run", home, "--log", "error"]
        self.process = subprocess.Popen(run, stdout=subprocess.PIPE, stderr=self.log, text=True)
        readable, *_ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if readable else ""
        if not line:
            self.process.kill()
            sys.exit("FAILED: the station did not start")
        self.url = json.loads(line)["addresses"]["operators"]
        self.tls = ssl.create_default_context(cafile=self.anchor)

    def __exit__(self, *_):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        if self.process.poll() != 0:
            self.process.kill()
            sys.exit(f"FAILED: the station ended with {self.process.poll()}")
        self.log.seek(0)
        said = self.log.read()
        if said:
            sys.exit(f"{said}\nFAILED: the station logged errors")

    def post(self, path, body, token=None):
        """One request that must be taken: its answer."""
        host = urllib.parse.urlsplit(self.url)
        server = http.client.HTTPSConnection(host.hostname, host.port, context=self.tls, timeout=PATIENCE)
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        with contextlib.closing(server):
            server.request("POST", path, json.dumps(body), headers)
            answer = server.getresponse()
            text = answer.read()
        if answer.status != 200:
            sys.exit(f"FAILED: {path}: {answer.status} {text.decode()}")
        return json.loads(text)

    def knows(self, token):
        """Whether a login still counts: without one every answer would be a refusal, as documented."""
        host = urllib.parse.urlsplit(self.url)
        server = http.client.HTTPSConnection(host.hostname, host.port, context=self.tls, timeout=PATIENCE)
        with contextlib.closing(server):
            server.request("GET", "/api/openapi.json", headers={"Authorization": f"Bearer {token}"})
            return server.getresponse().status == 200

    def log_in(self, operator):
        login = {"operator": operator, "password": PASSWORDS[operator]}
        return self.post("/api/auth/login", login)["token"]

    def fill(self, token):
        """Accounts, devices and a batch, so that there is something to look at and to change."""
        for operator, role in (("tess", "technician"), ("audrey", "auditor")):
            account = {"operator": operator, "role": role, "password": PASSWORDS[operator]}
            self.post("/api/operators", account, token)
        rows = [
            {"deviceId": f"ZM-00{n}", "deviceSerial": f"SN-00{n}", "identityKey": f"{n}" * 64, "bedId": "ICU-3B"}
            for n in range(1, 4)
        ]
        self.post("/api/registry/import", rows, token)
        self.post("/api/batches?name=Ward", rows[:2], token)


def fuzz(schemathesis, station, folder, operator, token, seed, *only):
    """Requests of one role; whether each answer was as documented."""
    command = [
        schemathesis, "--config-file", ROOT / "tests/api/schemathesis.toml",
        "run", ROOT / "docs/openapi.json", "--url", station.url, "--tls-verify", station.anchor,
        "--header", f"Authorization: Bearer {token}",
        # How long it takes to choose a request says nothing about the station.
        "--suppress-health-check", "all", "--warnings", "off", "--request-timeout", "30",
        "--seed", str(seed), *PHASES[operator], *only,
    ]  # fmt: skip
    print(f"== {operator} {' '.join(only)}", flush=True)
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "120"}
    return subprocess.run(command, cwd=folder, env=environment, timeout=LONGEST).returncode == 0


def main():
    programs, schemathesis = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).absolute()
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else SEED
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with Station(programs / "mock-central-station", folder) as station:
            administrator = station.log_in("admin")
            station.fill(administrator)
            # Before the wrong passwords of the runs make logins wait.
            tokens = {operator: station.log_in(operator) for operator in ("tess", "audrey")}
            last = station.log_in("admin")
            tokens["admin"] = administrator
            kept = []
            for operator in PHASES:
                kept.append(fuzz(schemathesis, station, folder, operator, tokens[operator], seed, *ALL))
                if not station.knows(tokens[operator]):
                    sys.exit(f"FAILED: the login of {operator} did not last")
            kept.append(fuzz(schemathesis, station, folder, "admin", last, seed, "--include-path", LAST))
    if not all(kept):
        sys.exit(f"FAILED: seed {seed}")
    print("the station answers as its document says")


if __name__ == "__main__":
    main()
