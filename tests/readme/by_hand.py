#!/usr/bin/env python3
"""Follows "By hand: three processes" of README.md word for word, at a terminal that answers.

Usage: python3 tests/readme/by_hand.py [FOLDER], where FOLDER holds the three programs; default
`target/debug`. Every command runs exactly as it is printed, under bash, with a terminal of its own at
80 columns on which passwords and PINs are asked and answered. Then each other command of `zmon` that
only looks is run at that terminal and with `--json`. Needs only Python 3.10 and free ports 8443, 8444.
Exit status 0 means that all of it happened as the page says.
"""

import codecs
import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

PATIENCE = 60  # seconds that anything may take
COLUMNS = 80
ROOT = pathlib.Path(__file__).resolve().parents[2]
SEVEN_KEYS = sorted(
    "deviceId deviceSerial ipAddress pairingCode pairingToken expiresAt firmwareVersion".split()
)
PROMPT = re.compile(r"(?:^|\n)([^\n]*): $")


def blocks(title):
    """The shell blocks of one section of README.md."""
    section = (ROOT / "README.md").read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def commands(block):
    """The commands of a block, with continued lines joined."""
    return [line for line in block.replace("\\\n", "").split("\n") if line.strip()]


class Terminal:
    """One command at a terminal of its own."""

    def __init__(self, command, answers):
        self.command, self.answers, self.text, self.status = command, answers, "", None
        self.seen = 0  # up to here prompts have been answered
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        print(f"$ {command}", flush=True)
        self.pid, self.tty = pty.fork()
        if self.pid == 0:
            os.execvp("bash", ["bash", "-c", command])
        fcntl.ioctl(self.tty, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        self.deadline = time.monotonic() + PATIENCE

    def read(self):
        """More text, or False at the end; what is asked is answered."""
        readable, *_ = select.select([self.tty], [], [], max(0, self.deadline - time.monotonic()))
        if not readable:
            self.fail("took too long")
        try:
            more = os.read(self.tty, 65536)
        except OSError:  # the terminal's other end is closed
            more = b""
        if not more:
            return False
        self.text += self.decoder.decode(more).replace("\r\n", "\n")
        asked = PROMPT.search(self.text[self.seen :])
        if asked:
            self.seen = len(self.text)
            os.write(self.tty, self.answer(asked[1]).encode() + b"\n")
        return True

    def answer(self, asked):
        for pattern, answer in self.answers.items():
            if re.search(pattern, asked):
                return answer
        self.fail(f"asked what nobody can answer: {asked!r}")

    def until(self, pattern):
        while not re.search(pattern, self.text):
            if not self.read():
                self.fail(f"ended without {pattern!r}")
        return self.text

    def finish(self, status=0):
        while self.read():
            pass
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if self.status != status:
            self.fail(f"ended with {self.status}, not {status}")
        return self.text

    def stop(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGTERM)
            self.deadline = time.monotonic() + PATIENCE
            self.finish()

    def fail(self, why):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
        sys.exit(f"{self.text}\nFAILED: {self.command}\n  {why}")


def narrow(text, command):
    """Nothing a person reads is wider than the terminal, but for the QR code of a long token."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    wide = [line for line in text.split("\n") if len(line) > COLUMNS and not line.startswith("{")]
    if wide:
        sys.exit(f"FAILED: {command}\n  wider than {COLUMNS} columns: {wide[0]!r}")


def look(command, answers, status=0):
    """A command for people and, with `--json`, for programs: one document, the same exit status."""
    narrow(Terminal(command, answers).finish(status), command)
    asked = subprocess.run(
        ["bash", "-c", f"{command} --json"], capture_output=True, text=True, timeout=PATIENCE
    )
    if asked.returncode != status:
        sys.exit(f"{asked.stderr}\nFAILED: {command} --json\n  ended with {asked.returncode}")
    return [json.loads(line) for line in asked.stdout.splitlines()]


def main(folder):
    os.environ["PATH"] = f"{folder.resolve()}:{os.environ['PATH']}"
    os.environ["COLUMNS"] = str(COLUMNS)
    station, device, technician = blocks("By hand: three processes")
    answers = {
        r"PIN of technician|PIN of tina": "739182",
        r"PIN of administrator": "804617",
        r"New password of": "a password of my own",
    }
    with contextlib.ExitStack() as running, tempfile.TemporaryDirectory() as home:
        os.chdir(home)
        running.callback(os.chdir, ROOT)
        init, run = commands(station)
        said = Terminal(init, answers).finish()
        narrow(said, init)
        answers["Password of"] = re.search(r"(?m)^\s*password\s+(\S+)", said)[1]
        serving = Terminal(run, answers)
        running.callback(serving.stop)
        serving.until(r'"program":"mock-central-station"')
        password, *before, run = commands(device)
        # The password that was shown opens nothing else.
        narrow(Terminal(password, answers).finish(), password)
        answers["Password of"] = answers["New password of"]
        for command in before:
            narrow(Terminal(command, answers).finish(), command)
        serving = Terminal(run, answers)
        running.callback(serving.stop)
        serving.until(r'"program":"device"')
        for command in commands(technician):
            said = Terminal(command, answers).finish()
            narrow(said, command)
        if "intact" not in said or "DAMAGED" in said:
            sys.exit(f"{said}\nFAILED: the log is not intact")
        observe(answers)
    print("ok: the page is true")


def observe(answers):
    """Every command that only looks, as people and programs read it."""
    status, = look("zmon device status --dir ./bed-7", answers)
    assert (status["state"], status["isProvisioned"]) == ("Provisioned", True), status
    assert status["bedId"] == "ICU-3B" and status["deviceLabel"] == "ICU-MON-04", status
    link, = look("zmon device link --dir ./bed-7", answers)
    assert link["connected"], link
    identity, = look("zmon device identity --dir ./bed-7", answers)
    page, = look("zmon device log --dir ./bed-7 --rows 5", answers)
    assert len(page["rows"]) == 5, page
    pathlib.Path("password").write_text(answers["Password of"] + "\n")
    os.chmod("password", 0o600)
    login = (
        " --station https://127.0.0.1:8443 --ca ./station/anchor.pem --operator admin"
        " --password-file password"
    )
    devices = look("zmon registry list" + login, answers)
    assert identity["identityKey"] in json.dumps(devices), devices
    for log in ("./bed-7", "./station"):
        found, = look(f"zmon audit verify {log}", answers)
        assert found["success"] and found["rows"] > 5, found
    export = Terminal("zmon audit export ./bed-7 | head -n 2", answers).finish()
    assert "error[" not in export, export
    content, = look("zmon qr decode screen.png", answers)
    assert identity["deviceId"] in json.dumps(content), content
    stranger = subprocess.run(
        ["zbarimg", "--quiet", "--raw", "screen.png"], capture_output=True, text=True, check=True
    )
    assert sorted(json.loads(stranger.stdout)) == SEVEN_KEYS, stranger.stdout
    refused, = look("zmon qr show --device ./bed-7", answers, status=3)
    assert refused["code"] == "not_in_provisioning_mode", refused
    refused, = look("zmon device status --dir ./nowhere", answers, status=4)
    assert refused["code"] == "device_not_running", refused
    wrong = subprocess.run(["zmon", "device", "--json"], capture_output=True, text=True)
    assert wrong.returncode == 2 and json.loads(wrong.stdout)["code"] == "settings_invalid", wrong
    for shell in ("bash", "zsh", "fish"):
        script = Terminal(f"zmon completions {shell} > completions.{shell}", answers)
        script.finish()
    Terminal("bash -n completions.bash", answers).finish()
    for program in ("zmon", "device", "mock-central-station"):
        narrow(Terminal(f"{program} --help", answers).finish(), program)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "target/debug")
