// Stamps: pixels of the service on a canvas, with the aperture, north and east.

export const BAD_BITS = 6141; // ztfdb.bits.BAD_BITS
const LOW = 0.01;
const HIGH = 0.995;
const ARRAYS = { "<f4": Float32Array, "<f8": Float64Array, "<u2": Uint16Array };

export function unpacked({ dtype, shape, base64 }) {
  const bytes = Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
  return { values: new ARRAYS[dtype](bytes.buffer), ny: shape[0], nx: shape[1] };
}

function levels(values) {
  const seen = Array.from(values).filter(Number.isFinite).sort((a, b) => a - b);
  const at = (share) => seen[Math.min(seen.length - 1, Math.round(share * (seen.length - 1)))];
  return seen.length ? [at(LOW), at(HIGH)] : [0, 1];
}

export const STRETCH = { linear: (t) => t, asinh: (t) => Math.asinh(20 * t) / Math.asinh(20) };

// Draw the pixels, one by one, dark is bright; the first row is at the bottom.
export function drawPixels(canvas, stamp, { stretch = "linear", mask = false } = {}) {
  const { values, nx, ny } = unpacked(stamp.data);
  const bits = mask && stamp.mask ? unpacked(stamp.mask).values : null;
  const [low, high] = levels(values);
  Object.assign(canvas, { width: nx, height: ny });
  const context = canvas.getContext("2d");
  const image = context.createImageData(nx, ny);
  for (let row = 0; row < ny; row += 1) {
    for (let column = 0; column < nx; column += 1) {
      const value = values[row * nx + column];
      const to = 4 * ((ny - 1 - row) * nx + column);
      const t = Math.min(1, Math.max(0, (value - low) / Math.max(high - low, 1e-30)));
      const grey = Math.round(255 * (1 - STRETCH[stretch](t)));
      const bad = bits && bits[row * nx + column] & BAD_BITS;
      image.data.set(bad ? [213, 94, 0, 255] : [grey, grey, grey, Number.isFinite(value) ? 255 : 0], to);
    }
  }
  context.putImageData(image, 0, 0);
}

// Draw a stamp large, with the aperture at the position, north and east, and 5 arcsec.
export function drawStamp(canvas, stamp, options, width = 704) {
  const pixels = document.createElement("canvas");
  drawPixels(pixels, stamp, options);
  const [nx, ny] = [pixels.width, pixels.height];
  const scale = width / nx;
  Object.assign(canvas, { width, height: Math.round(ny * scale) });
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(pixels, 0, 0, canvas.width, canvas.height);
  const x = stamp.x - stamp.x0;
  const y = stamp.north_up ? ny - 1 - (stamp.y - stamp.y0) : stamp.y - stamp.y0;
  const centre = [(x + 0.5) * scale, canvas.height - (y + 0.5) * scale];
  haloed(context, "#d55e00", 3, () => context.arc(...centre, stamp.radius * scale, 0, 2 * Math.PI));
  compass(context, stamp, canvas);
  const perPixel = Math.sqrt(Math.abs(determinant(stamp))) * 3600;
  const bar = (5 / perPixel) * scale;
  if (bar < canvas.width * 0.6) {
    haloed(context, "#0b5cad", 4, () => {
      context.moveTo(24, canvas.height - 28);
      context.lineTo(24 + bar, canvas.height - 28);
    });
    label(context, "5″", 24 + bar / 2, canvas.height - 48);
  }
  return centre;
}

const matrix = (stamp) => stamp.wcs.values.slice(4, 8);

function determinant(stamp) {
  const [a, b, c, d] = matrix(stamp);
  return a * d - b * c;
}

// Unit vectors on the canvas to the north and to the east.
export function directions(stamp) {
  const [a, b, c, d] = matrix(stamp);
  const det = determinant(stamp);
  const unit = (x, y) => [x / Math.hypot(x, y), -y / Math.hypot(x, y)];
  return { north: unit(-b / det, a / det), east: unit(d / det, -c / det) };
}

function compass(context, stamp, canvas) {
  const [length, x, y] = [64, canvas.width - 96, canvas.height - 50];
  for (const [name, [dx, dy]] of Object.entries(directions(stamp))) {
    const end = [x + dx * length, y + dy * length];
    haloed(context, "#0b5cad", 4, () => {
      context.moveTo(x, y);
      context.lineTo(...end);
    });
    label(context, name[0].toUpperCase(), end[0] + dx * 20, end[1] + dy * 20);
  }
}

function haloed(context, colour, width, path) {
  for (const [stroke, wide] of [["#ffffff", width + 3], [colour, width]]) {
    context.strokeStyle = stroke;
    context.lineWidth = wide;
    context.beginPath();
    path();
    context.stroke();
  }
}

function label(context, words, x, y) {
  context.font = "bold 28px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 6;
  context.strokeStyle = "#ffffff";
  context.strokeText(words, x, y);
  context.fillStyle = "#0b5cad";
  context.fillText(words, x, y);
}
