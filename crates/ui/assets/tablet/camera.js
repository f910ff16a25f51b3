// The camera, and pictures for the decoder. Pictures stay in memory and leave for the decoder only.

const WIDEST = 1280;
const PAUSE = 100;

let worker = null;
let asked = 0;
const waiting = new Map();

function decoder() {
  if (worker) return worker;
  worker = new Worker("/page/decoder/worker.js");
  worker.addEventListener("message", ({ data: { id, texts, error } }) => {
    const { done, failed } = waiting.get(id) ?? {};
    waiting.delete(id);
    if (error === undefined) done?.(texts);
    else failed?.(new Error(error));
  });
  worker.addEventListener("error", (event) => {
    for (const { failed } of waiting.values()) failed(new Error(event.message));
    waiting.clear();
    worker = null;
  });
  return worker;
}

/** The texts of all QR codes in a picture: an image, a video or a bitmap of this size. */
function decode(picture, width, height) {
  const scale = Math.min(1, WIDEST / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const drawing = canvas.getContext("2d", { willReadFrequently: true });
  drawing.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const { data } = drawing.getImageData(0, 0, canvas.width, canvas.height);
  const id = (asked += 1);
  return new Promise((done, failed) => {
    waiting.set(id, { done, failed });
    const message = { id, pixels: data.buffer, width: canvas.width, height: canvas.height };
    decoder().postMessage(message, [data.buffer]);
  });
}

/** The texts in a photo that was taken or chosen. */
export async function readPhoto(file) {
  const bitmap = await createImageBitmap(file);
  try {
    return await decode(bitmap, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

/** Why there is no camera: `insecure`, `refused`, `none` or `busy`. */
const WHY = { NotAllowedError: "refused", SecurityError: "refused", NotFoundError: "none", OverconstrainedError: "none" };

/** A running camera. `stop()` lets it go; `seen` gets the texts of each picture, none included. */
export class Camera {
  /** @throws {string} why there is none */
  static async start(video, seen, failed) {
    if (!window.isSecureContext || !navigator.mediaDevices) throw "insecure";
    const wanted = { facingMode: { ideal: "environment" }, width: { ideal: 1280 }, height: { ideal: 720 } };
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: wanted });
    } catch (error) {
      throw WHY[error.name] ?? "busy";
    }
    return new Camera(video, stream, seen, failed);
  }

  constructor(video, stream, seen, failed) {
    Object.assign(this, { video, stream, seen, failed, isOn: true });
    // Taken away by the system, or unplugged.
    stream.getVideoTracks()[0].addEventListener("ended", () => this.isOn && this.fail("busy"));
    video.srcObject = stream;
    video.play().catch(() => {});
    this.look();
  }

  async look() {
    while (this.isOn) {
      const { video } = this;
      if (video.readyState >= video.HAVE_CURRENT_DATA && video.videoWidth > 0) {
        try {
          const texts = await decode(video, video.videoWidth, video.videoHeight);
          if (this.isOn) this.seen(texts);
        } catch {
          this.fail("decoder");
        }
      }
      await new Promise((done) => setTimeout(done, PAUSE));
    }
  }

  fail(why) {
    this.stop();
    this.failed(why);
  }

  stop() {
    this.isOn = false;
    this.stream.getTracks().forEach((track) => track.stop());
    this.video.srcObject = null;
  }
}
