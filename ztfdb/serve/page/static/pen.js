// One way to draw, two papers: a canvas and an SVG.

const POLYGONS = {
  square: [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
  diamond: [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]],
  plus: [[-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2], [-0.4, 0.4], [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]],
  arrow: [[-0.95, 0], [0.95, 0], [0, 1.35]],
};

export const outline = (marker) => POLYGONS[marker] ?? null;
export const FONT = 'system-ui, "DejaVu Sans", sans-serif';

// The pixels of a symbol that are not empty: places and colours.
function spotsOf(reach, dense, draw) {
  const side = Math.ceil(2 * reach * dense);
  const context = new OffscreenCanvas(side, side).getContext("2d", { willReadFrequently: true });
  context.scale(dense, dense);
  draw(new CanvasPen(context), reach, reach);
  const all = new Uint32Array(context.getImageData(0, 0, side, side).data.buffer);
  const full = [...all.keys()].filter((at) => all[at] >>> 24);
  return {
    side,
    x: Int32Array.from(full, (at) => at % side),
    y: Int32Array.from(full, (at) => Math.floor(at / side)),
    colours: Uint32Array.from(full, (at) => all[at]),
  };
}

// A colour over another, both as the four bytes of a pixel.
function over(colour, under) {
  const [above, below] = [colour >>> 24, under >>> 24];
  if (!below) return colour;
  const alpha = above + (below * (255 - above)) / 255;
  const share = above / alpha;
  let mixed = Math.round(alpha) << 24;
  for (let shift = 0; shift < 24; shift += 8) {
    const value = (under >>> shift) & 255;
    mixed |= Math.round(value + (((colour >>> shift) & 255) - value) * share) << shift;
  }
  return mixed >>> 0;
}

export class CanvasPen {
  constructor(context) {
    this.context = context;
    this.dense = context.getTransform().a;
    this.sprites = new Map();
    this.queue = [];
  }

  // What looks alike is drawn once and copied, to whole pixels, by flush(): thousands of symbols in a frame.
  sprite(key, x, y, reach, draw) {
    let sprite = this.sprites.get(key);
    if (!sprite) this.sprites.set(key, (sprite = spotsOf(reach, this.dense, draw)));
    this.queue.push(sprite, Math.round((x - reach) * this.dense), Math.round((y - reach) * this.dense));
  }

  // Copy the symbols into the clipped area, in their order.
  flush() {
    const { x: x0, y: y0, width, height } = this.area;
    const image = this.context.getImageData(x0, y0, width, height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let k = 0; k < this.queue.length; k += 3) {
      const { side, x, y, colours } = this.queue[k];
      const left = this.queue[k + 1] - x0;
      const top = this.queue[k + 2] - y0;
      if (left <= -side || top <= -side || left >= width || top >= height) continue;
      for (let at = 0; at < colours.length; at += 1) {
        const px = left + x[at];
        const py = top + y[at];
        if (px < 0 || py < 0 || px >= width || py >= height) continue;
        const place = py * width + px;
        const colour = colours[at];
        pixels[place] = colour >>> 24 === 255 ? colour : over(colour, pixels[place]);
      }
    }
    this.context.putImageData(image, x0, y0);
    this.queue = [];
  }

  lines(all, { stroke, width = 1, alpha = 1 }) {
    const c = this.context;
    c.globalAlpha = alpha;
    c.strokeStyle = stroke;
    c.lineWidth = width;
    c.beginPath();
    for (let k = 0; k < all.length; k += 4) {
      c.moveTo(all[k], all[k + 1]);
      c.lineTo(all[k + 2], all[k + 3]);
    }
    c.stroke();
    c.globalAlpha = 1;
  }

  clip(x, y, width, height) {
    this.context.save();
    this.context.beginPath();
    this.context.rect(x, y, width, height);
    this.context.clip();
    const [left, top, wide, high] = [x, y, width, height].map((one) => Math.round(one * this.dense));
    this.area = { x: left, y: top, width: wide, height: high };
  }

  unclip() {
    this.context.restore();
  }

  rect(x, y, width, height, { fill, stroke }) {
    if (fill) {
      this.context.fillStyle = fill;
      this.context.fillRect(x, y, width, height);
    }
    if (stroke) {
      this.context.strokeStyle = stroke;
      this.context.lineWidth = 1;
      this.context.strokeRect(x, y, width, height);
    }
  }

  line(x1, y1, x2, y2, { stroke, width = 1, alpha = 1, dash = [] }) {
    const c = this.context;
    c.globalAlpha = alpha;
    c.strokeStyle = stroke;
    c.lineWidth = width;
    c.setLineDash(dash);
    c.beginPath();
    c.moveTo(x1, y1);
    c.lineTo(x2, y2);
    c.stroke();
    c.setLineDash([]);
    c.globalAlpha = 1;
  }

  path(points, { stroke, fill, width = 1, alpha = 1 }) {
    const c = this.context;
    c.globalAlpha = alpha;
    c.beginPath();
    points.forEach(([x, y], at) => (at ? c.lineTo(x, y) : c.moveTo(x, y)));
    if (fill) {
      c.fillStyle = fill;
      c.fill();
    }
    if (stroke) {
      c.strokeStyle = stroke;
      c.lineWidth = width;
      c.stroke();
    }
    c.globalAlpha = 1;
  }

  shape(marker, x, y, size, { fill, stroke, width = 1, alpha = 1 }) {
    const c = this.context;
    const corners = outline(marker);
    c.globalAlpha = alpha;
    c.beginPath();
    if (corners) {
      corners.forEach(([dx, dy], at) => (at ? c.lineTo(x + dx * size, y + dy * size) : c.moveTo(x + dx * size, y + dy * size)));
      c.closePath();
    } else {
      c.arc(x, y, size, 0, 2 * Math.PI);
    }
    if (fill) {
      c.fillStyle = fill;
      c.fill();
    }
    if (stroke) {
      c.strokeStyle = stroke;
      c.lineWidth = width;
      c.stroke();
    }
    c.globalAlpha = 1;
  }

  text(x, y, words, { fill, align = "left", baseline = "alphabetic", size = 12, turn = 0 }) {
    const c = this.context;
    c.save();
    c.translate(x, y);
    c.rotate((turn * Math.PI) / 180);
    c.font = `${size}px ${FONT}`;
    c.fillStyle = fill;
    c.textAlign = align;
    c.textBaseline = baseline;
    c.fillText(words, 0, 0);
    c.restore();
  }
}

const ANCHOR = { left: "start", center: "middle", right: "end" };
const DROP = { top: 0.8, middle: 0.35, alphabetic: 0, bottom: -0.2 };
const round = (value) => String(Math.round(value * 100) / 100);
const escaped = (words) => words.replace(/[&<>"]/g, (one) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[one]);

export class SvgPen {
  constructor(width, height) {
    this.head = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`;
    this.parts = [];
    this.clips = 0;
  }

  clip(x, y, width, height) {
    this.clips += 1;
    this.parts.push(`<clipPath id="c${this.clips}"><rect x="${x}" y="${y}" width="${width}" height="${height}"/></clipPath><g clip-path="url(#c${this.clips})">`);
  }

  unclip() {
    this.parts.push("</g>");
  }

  rect(x, y, width, height, { fill = "none", stroke = "none" }) {
    this.parts.push(`<rect x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}" fill="${fill}" stroke="${stroke}"/>`);
  }

  line(x1, y1, x2, y2, { stroke, width = 1, alpha = 1, dash = [] }) {
    const dashed = dash.length ? ` stroke-dasharray="${dash.join(" ")}"` : "";
    this.parts.push(`<path d="M${round(x1)} ${round(y1)}L${round(x2)} ${round(y2)}" stroke="${stroke}" stroke-width="${width}" opacity="${alpha}"${dashed}/>`);
  }

  sprite(key, x, y, reach, draw) {
    draw(this, x, y);
  }

  flush() {}

  lines(all, { stroke, width = 1, alpha = 1 }) {
    const path = all.map((one, at) => `${"M L "[at % 4]}${round(one)}`).join(" ");
    this.parts.push(`<path d="${path}" stroke="${stroke}" stroke-width="${width}" opacity="${alpha}"/>`);
  }

  shape(marker, x, y, size, { fill = "none", stroke = "none", width = 1, alpha = 1 }) {
    const style = `fill="${fill}" stroke="${stroke}" stroke-width="${width}" opacity="${alpha}"`;
    const corners = outline(marker);
    this.parts.push(corners
      ? `<polygon points="${corners.map(([dx, dy]) => `${round(x + dx * size)},${round(y + dy * size)}`).join(" ")}" ${style}/>`
      : `<circle cx="${round(x)}" cy="${round(y)}" r="${round(size)}" ${style}/>`);
  }

  text(x, y, words, { fill, align = "left", baseline = "alphabetic", size = 12, turn = 0 }) {
    const turned = turn ? ` transform="rotate(${turn} ${round(x)} ${round(y)})"` : "";
    this.parts.push(`<text x="${round(x)}" y="${round(y)}" dy="${DROP[baseline]}em" fill="${fill}" font-family="${escaped(FONT)}" font-size="${size}" text-anchor="${ANCHOR[align]}"${turned}>${escaped(words)}</text>`);
  }

  finish() {
    return `${this.head}${this.parts.join("")}</svg>\n`;
  }
}
