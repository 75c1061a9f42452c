// This page's camera as the stream's source: JPEGs over the connection, no more than two on their way.

const CAMERA = { video: { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { max: 30 } }, audio: false };
const CAMERA_MS = 1000 / 30 - 5; // between two pictures; a camera's own pace wavers
const CAMERA_FLYING = 2;
const CAMERA_QUALITY = 0.85;
const CAMERA_LONGEST = 1920; // pixels

class Camera {
  constructor(film) {
    Object.assign(this, { film, video: null, films: false, flying: 0, last: 0, opened: 0 });
  }

  /** Open the camera; why that was not possible, or an empty string. */
  async open() {
    if (this.video) return "";
    if (!navigator.mediaDevices?.getUserMedia) return "this page may not use the camera: open JupyterLab over https, or as localhost";
    const opened = ++this.opened;
    try {
      const stream = await navigator.mediaDevices.getUserMedia(CAMERA);
      if (opened !== this.opened) {
        stream.getTracks().forEach((track) => track.stop());
        return "the camera was given up";
      }
      stream.getTracks().forEach((track) => (track.onended = () => this.close())); // it was unplugged
      this.video = h("video", { muted: true, playsInline: true, srcObject: stream });
      await this.video.play();
      return "";
    } catch (error) {
      this.close();
      if (error.name === "NotAllowedError") return "the browser refused the camera: allow it beside the page's address";
      if (error.name === "NotFoundError") return "this machine has no camera";
      return `the camera can't be opened: ${error.message}`;
    }
  }

  /** Begin or end to film, as the server says. */
  set(films) {
    if (!films) return this.close();
    if (this.films) return;
    this.films = true;
    this.flying = 0;
    this.canvas = new OffscreenCanvas(1, 1);
    this.next();
  }

  close() {
    this.opened++;
    this.films = false;
    this.video?.srcObject.getTracks().forEach((track) => track.stop());
    this.video = null;
  }

  filmed() {
    this.flying = Math.max(0, this.flying - 1);
  }

  next() {
    const { video } = this;
    if (!this.films || !video) return;
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(() => this.take(video));
    else setTimeout(() => this.take(video), CAMERA_MS);
  }

  async take(video) {
    if (video !== this.video) return;
    const now = performance.now();
    if (this.films && this.flying < CAMERA_FLYING && now - this.last >= CAMERA_MS && video.videoWidth) {
      this.last = now;
      this.flying++;
      const part = Math.min(1, CAMERA_LONGEST / Math.max(video.videoWidth, video.videoHeight));
      Object.assign(this.canvas, { width: video.videoWidth * part, height: video.videoHeight * part });
      this.canvas.getContext("2d").drawImage(video, 0, 0, this.canvas.width, this.canvas.height);
      const picture = await this.canvas.convertToBlob({ type: "image/jpeg", quality: CAMERA_QUALITY });
      const buffer = await picture.arrayBuffer();
      if (this.films) this.film(buffer);
    }
    this.next();
  }
}
