// An animated GIF of grey pictures, as large as asked (GIF89a, LZW).

const CLEAR = 256;
const LARGEST = 4096;

// `frames` are {values: Uint8Array of greys 0 to 255, width, height}, all of one size; `delay` in hundredths of a second.
export function gif(frames, delay) {
  const { width, height } = frames[0];
  const bytes = [...text("GIF89a"), ...word(width), ...word(height), 0xf7, 0, 0];
  for (let grey = 0; grey < 256; grey += 1) bytes.push(grey, grey, grey);
  bytes.push(0x21, 0xff, 11, ...text("NETSCAPE2.0"), 3, 1, 0, 0, 0); // again and again
  const parts = [Uint8Array.from(bytes)];
  for (const { values } of frames) {
    parts.push(Uint8Array.from([0x21, 0xf9, 4, 4, ...word(delay), 0, 0, 0x2c, 0, 0, 0, 0, ...word(width), ...word(height), 0, 8]));
    parts.push(blocks(compressed(values)));
  }
  parts.push(Uint8Array.from([0x3b]));
  return new Blob(parts, { type: "image/gif" });
}

const text = (words) => [...words].map((one) => one.charCodeAt(0));
const word = (value) => [value & 255, value >> 8];

function compressed(values) {
  const out = [];
  let [held, bits, size, next] = [0, 0, 9, CLEAR + 2];
  let codes = new Map();
  const put = (code) => {
    held |= code << bits;
    for (bits += size; bits >= 8; bits -= 8) {
      out.push(held & 255);
      held >>>= 8;
    }
  };
  put(CLEAR);
  let before = values[0];
  for (let at = 1; at < values.length; at += 1) {
    const key = before * 256 + values[at];
    const code = codes.get(key);
    if (code !== undefined) {
      before = code;
      continue;
    }
    put(before);
    if (next === LARGEST) {
      put(CLEAR);
      [codes, size, next] = [new Map(), 9, CLEAR + 2];
    } else {
      if (next === 1 << size) size += 1;
      codes.set(key, next);
      next += 1;
    }
    before = values[at];
  }
  put(before);
  put(CLEAR + 1);
  if (bits) out.push(held & 255);
  return out;
}

function blocks(bytes) {
  const made = [];
  for (let at = 0; at < bytes.length; at += 255) {
    const part = bytes.slice(at, at + 255);
    made.push(part.length, ...part);
  }
  made.push(0);
  return Uint8Array.from(made);
}
