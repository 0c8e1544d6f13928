// The stamps of a light curve one after the other, and as an animated GIF.

import { colour, look } from "./curve.js";
import { find, save } from "./dom.js";
import { day } from "./epoch.js";
import { gif } from "./gif.js";
import { drawPixels, drawStamp } from "./stamp.js";

const GIF_SCALE = 6;

export class Blink {
  // `told` has stamps(): [{epoch, stamp}] as they are drawn, state() and changed(change).
  constructor(told) {
    this.told = told;
    this.canvas = find("blink");
    this.timer = 0;
    this.at = 0;
    find("blink-run").addEventListener("click", () => { told.changed({ blink: this.timer ? "" : "1" }); this.begin(); });
    for (const id of ["blink-rate", "blink-stretch", "blink-mask"]) find(id).addEventListener("change", () => this.choose());
    find("blink-gif").addEventListener("click", () => this.save());
    document.addEventListener("visibilitychange", () => (document.hidden ? this.stop() : this.arrived()));
  }

  // The controls as the state says.
  controls() {
    const { brate, bstretch, bmask } = this.told.state();
    for (const [id, value] of [["blink-rate", brate], ["blink-stretch", bstretch]]) {
      find(id).value = value;
      if (!find(id).value) find(id).value = find(id).querySelector("[selected]")?.value ?? "linear"; // the address may hold anything
    }
    find("blink-mask").checked = bmask === "1";
  }

  choose() {
    this.told.changed({ brate: find("blink-rate").value, bstretch: find("blink-stretch").value, bmask: find("blink-mask").checked ? "1" : "" });
    if (this.timer) this.run();
    else this.show();
  }

  // As the state says.
  begin() {
    if (this.told.state().blink) this.run();
    else this.stop();
  }

  // The stamps are there, or the window is seen again: where motion is unwelcome, nothing moves by itself.
  arrived() {
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.begin();
  }

  get look() {
    return { stretch: find("blink-stretch").value, mask: find("blink-mask").checked };
  }

  get rate() {
    return Number(find("blink-rate").value);
  }

  run() {
    clearInterval(this.timer);
    if (!this.told.stamps().length) return;
    find("blink-run").textContent = "Stop";
    find("blink-box").hidden = false;
    this.timer = setInterval(() => { this.at += 1; this.show(); }, 1000 / this.rate);
    this.show();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = 0;
    find("blink-run").textContent = "Blink";
  }

  forget() {
    this.stop();
    this.at = 0;
    find("blink-box").hidden = true;
  }

  show() {
    const stamps = this.told.stamps();
    if (!stamps.length || find("blink-box").hidden) return;
    const { epoch, stamp } = stamps[this.at % stamps.length];
    drawStamp(this.canvas, stamp, this.look, 460);
    this.canvas.dataset.image = stamp.image_id;
    this.canvas.ariaLabel = "Stamps one after the other";
    const words = find("blink-words");
    words.textContent = `${look(epoch.filtercode).name} ${day(epoch.mjd)} (${(this.at % stamps.length) + 1} of ${stamps.length})`;
    words.className = colour(epoch.filtercode);
  }

  save() {
    const stamps = this.told.stamps();
    if (!stamps.length) return;
    save(gif(stamps.map(({ stamp }) => enlarged(stamp, this.look)), Math.round(100 / this.rate)), "stamps.gif");
  }
}

// Greys of a stamp, each pixel several times wider and higher; what has no value is white, masked pixels black.
function enlarged(stamp, how) {
  const canvas = document.createElement("canvas");
  drawPixels(canvas, stamp, how);
  const { width: nx, height: ny } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, nx, ny);
  const [width, height] = [nx * GIF_SCALE, ny * GIF_SCALE];
  const values = new Uint8Array(width * height);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const from = 4 * (Math.floor(row / GIF_SCALE) * nx + Math.floor(column / GIF_SCALE));
      const masked = data[from] !== data[from + 1];
      values[row * width + column] = data[from + 3] === 0 ? 255 : masked ? 0 : data[from];
    }
  }
  return { values, width, height };
}
