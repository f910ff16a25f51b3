#!/usr/bin/env python3
"""How a test harness that is not Rust gets a Central Station: start it, read one line, use it.

Usage: python3 examples/harness/harness.py [FOLDER], where FOLDER holds `mock-central-station` and
`device`; default `target/debug`. Needs only Python 3.10.

Two stations run side by side, each with a monitor. The first pair ends provisioned. The second
station was told to flip a bit of every configuration that it delivers: its pairing is refused, with
a code that both sides name. Exit status 0 means that all of this happened.
"""

import contextlib
import http.client
import json
import pathlib
import select
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse

TECHNICIAN, PIN = "tina", "48392017"
PATIENCE = 60  # seconds that anything may take


class Program(contextlib.AbstractContextManager):
    """A serving program: its first line of output says that it is ready, and where."""

    def __init__(self, *command):
        command = [*command, "--log", "error"]  # on standard error, which is this program's
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        readable, *_ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if readable else ""
        if not line:
            self.process.kill()
            sys.exit(f"FAILED: {command[0]} did not start")
        self.ready = json.loads(line)

    def __exit__(self, *_):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        if self.process.poll() != 0:
            self.process.kill()
            sys.exit(f"FAILED: {self.ready['program']} did not stop in order")


class Station(Program):
    """`mock-central-station --ephemeral`: makes its own keys, removes its files at the end."""

    def __init__(self, folder, *flags):
        super().__init__(folder / "mock-central-station", "--ephemeral", *flags)
        self.tls = ssl.create_default_context(cadata=self.ready["anchorPem"])  # trusts no other
        self.address = urllib.parse.urlsplit(self.ready["addresses"]["operators"])

    def ask(self, method, path, body=None):
        """One request as the operator whose token the station printed: status and answer."""
        host, port = self.address.hostname, self.address.port
        server = http.client.HTTPSConnection(host, port, context=self.tls, timeout=PATIENCE)
        headers = {"Authorization": f"Bearer {self.ready['operatorToken']}"}
        headers["Content-Type"] = "application/json"
        with contextlib.closing(server):
            server.request(method, path, body, headers)
            answer = server.getresponse()
            return answer.status, json.load(answer)

    def pair(self, qr):
        """What a tablet does with a scanned QR code; a slow device answers later, and one that only
        a courier could reach (D7) is not waited for."""
        members = ("deviceId", "deviceSerial", "ipAddress", "pairingCode", "pairingToken")
        request = {name: qr[name] for name in members} | {"bedId": "ICU-3B"}
        status, answer = self.ask("POST", "/api/provisioning/pair", json.dumps(request))
        while status == 202 and answer["delivery"] != "courier":
            time.sleep(0.2)
            status, answer = self.ask("GET", f"/api/provisioning/pair/{answer['sessionId']}")
        return status, answer


class Monitor(Program):
    """A device that trusts `station` and stands in its registry."""

    def __init__(self, folder, home, station):
        anchor, pins = home.with_suffix(".pem"), home.with_suffix(".pins")
        anchor.write_text(station.ready["anchorPem"])
        pins.touch(mode=0o600)  # `device` takes no secret that others can read
        pins.write_text(f"{PIN}\n{PIN}\n")  # the administrator's, the technician's
        make = [folder / "device", "init", home, "--anchor", anchor, "--pin-file", pins]
        make += ["--site", station.ready["site"], "--technician", TECHNICIAN]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        manifest = subprocess.check_output([folder / "device", "identity", home, "--manifest"])
        _, answer = station.ask("POST", "/api/registry/import", manifest)
        expect(answer.get("added") == 1, f"the registry answered {answer}")
        super().__init__(folder / "device", "run", home)

    def ask(self, method, **arguments):
        """One line to the control socket, one line back."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(PATIENCE)
            control.connect(self.ready["addresses"]["control"])
            with control.makefile("rw") as lines:
                lines.write(json.dumps({method: arguments}) + "\n")
                lines.flush()
                answer = json.loads(lines.readline())
        expect("error" not in answer, f"the device answered {answer}")
        return answer.get(method, answer)

    def enter(self):
        """The technician opens the window; what the QR code on the screen says."""
        self.ask("enter", operator=TECHNICIAN, pin=PIN)
        return json.loads(self.ask("qr")["content"])

    def until(self, state):
        """Waits until the device is in `state`; its status."""
        end = time.monotonic() + PATIENCE
        while (status := self.ask("status"))["state"] != state:
            expect(time.monotonic() < end, f"the device stays {status['state']}")
            time.sleep(0.05)
        return status


def expect(condition, otherwise):
    """Ends the harness unless `condition` holds."""
    if not condition:
        sys.exit(f"FAILED: {otherwise}")


def main(folder):
    with contextlib.ExitStack() as stack:
        home = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="harness-")))
        good = stack.enter_context(Station(folder))
        faulty = stack.enter_context(Station(folder, "--fault", "deliver=tamper"))
        one = stack.enter_context(Monitor(folder, home / "bed-1", good))
        two = stack.enter_context(Monitor(folder, home / "bed-2", faulty))

        status, answer = good.pair(one.enter())
        expect(status == 200 and answer["success"], f"the station answered {answer}")
        print(f"bed-1: provisioned, reports to {one.until('Provisioned')['serverUrl']}")

        status, answer = faulty.pair(two.enter())
        expect(status >= 400 and not answer["success"], f"a spoilt configuration got {answer}")
        codes = [row.get("code") for row in two.ask("log")["rows"]]
        expect(answer["code"] in codes, f"the device logged {codes}, not {answer['code']}")
        expect(not two.ask("status")["isProvisioned"], "a spoilt configuration is in force")
        print(f"bed-2: refused, both sides say {answer['code']}")
    print("ok")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/debug"))
