// A ward: a station that stays where it is when it is started again, and three monitors that trust it.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PINS, program, run, start } from "./rig.js";

export const PASSWORD = "correct horse battery";

export class Ward {
  static async open() {
    const ward = new Ward();
    ward.home = await mkdtemp(join(tmpdir(), "zmon-ward-"));
    ward.dir = join(ward.home, "station");
    ward.anchor = join(ward.dir, "anchor.pem");
    ward.secret = join(ward.home, "password");
    await writeFile(ward.secret, `${PASSWORD}\n`, { mode: 0o600 });
    await writeFile(join(ward.home, "pins"), `${PINS.admin}\n${PINS.tina}\n`, { mode: 0o600 });
    const any = ["--listen", "127.0.0.1:0", "--device-listen", "127.0.0.1:0"];
    await run(program("mock-central-station"), [
      "init", ward.dir, "--site", "st-mary", "--name", "Ward 3", "--password-file", ward.secret, ...any,
    ]);
    await ward.startStation();
    ward.monitors = await Promise.all([1, 2, 3].map((n) => ward.monitor(n)));
    return ward;
  }

  /** Starts the station where it was before. */
  async startStation() {
    const { operators, devices } = this.addresses ?? {};
    const host = (url) => new URL(url).host;
    const where = operators ? ["--listen", host(operators), "--device-listen", host(devices)] : [];
    this.station = await start("mock-central-station", ["run", this.dir, ...where]);
    this.addresses = this.station.ready.addresses;
  }

  async monitor(n) {
    const id = `ZM-00${n}`;
    const dir = join(this.home, id);
    await run(program("device"), [
      "init", dir, "--anchor", this.anchor, "--site", "st-mary", "--device-id", id, "--serial", `SN-00${n}`, "--technician", "tina", "--pin-file", join(this.home, "pins"),
    ]);
    const { stdout } = await run(program("device"), ["identity", dir, "--manifest"]);
    return { id, dir, row: stdout };
  }

  /** Starts a monitor with its screen. */
  async startMonitor({ dir }) {
    this.device = await start("device", ["run", dir, "--screen", "127.0.0.1:0"]);
    return this.device.ready.addresses.screen;
  }

  /** What a technician does with a picture of the screen. */
  async pair(picture, bed, label) {
    const login = ["--station", this.addresses.operators, "--ca", this.anchor, "--operator", "admin", "--password-file", this.secret];
    await run(program("zmon"), ["--json", "pair", ...login, "--qr-image", picture, "--bed", bed, "--label", label]);
  }

  async close() {
    await this.device?.stop();
    await this.station?.stop();
    await rm(this.home, { recursive: true, force: true });
  }
}
