#!/usr/bin/env python3
"""The station's side of `pair.cpp`: starts one, registers the device, reads its picture, pairs it.

Usage: python3 crates/ffi/tests/pair.py PROGRAM FOLDER, where PROGRAM is the compiled pair.cpp and FOLDER holds
`mock-central-station`. Exit status 0 means that both sides say that the device is provisioned.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "examples" / "harness"))
from harness import PATIENCE, Station, expect  # noqa: E402


def main(program, folder):
    with Station(folder) as station, tempfile.TemporaryDirectory(prefix="zmon-cpp-") as home:
        home = pathlib.Path(home)
        anchor, picture = home / "anchor.pem", home / "screen.png"
        anchor.write_text(station.ready["anchorPem"])
        command = [program, home / "bed-42", anchor, station.ready["site"], picture]
        product = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            pair(station, product, picture)
        finally:
            product.kill()
            product.wait(PATIENCE)


def pair(station, product, picture):
    def said():
        line = product.stdout.readline()
        expect(line, "the product ended too early")
        return json.loads(line)

    made = said()
    row = {name: made[name] for name in ("deviceId", "deviceSerial", "identityKey")}
    _, answer = station.ask("POST", "/api/registry/import", json.dumps(row) + "\n")
    expect(answer.get("added") == 1, f"the registry answered {answer}")
    product.stdin.write("registered\n")
    product.stdin.flush()

    content = said()["content"]
    seen = subprocess.run(["zbarimg", "--quiet", "--raw", picture], capture_output=True, text=True)
    expect(seen.stdout.strip() == content, f"the picture says {seen.stdout!r}, not {content!r}")
    status, answer = station.pair(json.loads(content))
    expect(status == 200 and answer["success"], f"the station answered {status} {answer}")

    properties = said()
    expect(properties["provisioningState"] == "Provisioned", f"the properties are {properties}")
    expect(properties["isProvisioned"] and properties["serverUrl"], f"the properties are {properties}")
    expect(properties["pairingCode"] == "" and properties["qrCodeData"] == "", "a code is left")
    events = said()["events"]
    expect(product.wait(PATIENCE) == 0, f"the product ended with {product.returncode}")
    print(f"paired: {properties['serverUrl']}, {properties['certificateStatus']} {events} events")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
