// One way to draw, two papers: a canvas and an SVG.

const POLYGONS = {
  square: [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
  diamond: [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]],
  plus: [[-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2], [-0.4, 0.4], [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]],
  arrow: [[-0.95, 0], [0.95, 0], [0, 1.35]],
};

export const outline = (marker) => POLYGONS[marker] ?? null;
export const FONT = 'system-ui, "DejaVu Sans", sans-serif';

export class CanvasPen {
  constructor(context) {
    this.context = context;
  }

  clip(x, y, width, height) {
    this.context.save();
    this.context.beginPath();
    this.context.rect(x, y, width, height);
    this.context.clip();
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
