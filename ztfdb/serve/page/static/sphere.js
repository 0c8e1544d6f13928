// The sphere: projections, HEALPix cells, and where the pixels of a stamp are. Angles are degrees.

const RAD = Math.PI / 180;

export function vector(ra, dec) {
  const c = Math.cos(dec * RAD);
  return [c * Math.cos(ra * RAD), c * Math.sin(ra * RAD), Math.sin(dec * RAD)];
}

export function position([x, y, z]) {
  return [((Math.atan2(y, x) / RAD) + 360) % 360, Math.atan2(z, Math.hypot(x, y)) / RAD];
}

export function separation(ra1, dec1, ra2, dec2) {
  const [a, b] = [vector(ra1, dec1), vector(ra2, dec2)];
  return 2 * Math.asin(Math.min(1, Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]) / 2)) / RAD;
}

// Coordinates in which the centre is the point of longitude and latitude 0.
export function turned([x, y, z], ra0, dec0) {
  const [ca, sa, cd, sd] = [Math.cos(ra0 * RAD), Math.sin(ra0 * RAD), Math.cos(dec0 * RAD), Math.sin(dec0 * RAD)];
  const [u, v] = [ca * x + sa * y, ca * y - sa * x];
  return [cd * u + sd * z, v, cd * z - sd * u];
}

function turnedBack([u, v, w], ra0, dec0) {
  const [ca, sa, cd, sd] = [Math.cos(ra0 * RAD), Math.sin(ra0 * RAD), Math.cos(dec0 * RAD), Math.sin(dec0 * RAD)];
  const [x, z] = [cd * u - sd * w, sd * u + cd * w];
  return [ca * x - sa * v, sa * x + ca * v, z];
}

// Tangent plane about a position, degrees to the east and to the north; null on the other half of the sky.
export function tangent(ra, dec, ra0, dec0) {
  const [u, v, w] = turned(vector(ra, dec), ra0, dec0);
  return u > 1e-6 ? [v / u / RAD, w / u / RAD] : null;
}

export function fromTangent(east, north, ra0, dec0) {
  return position(turnedBack([1, east * RAD, north * RAD], ra0, dec0));
}

// Hammer's equal-area map, 4√2 wide and 2√2 high, of a longitude and latitude.
export function hammer(lon, lat) {
  const [l, b] = [(lon * RAD) / 2, lat * RAD];
  const k = Math.sqrt(2 / (1 + Math.cos(b) * Math.cos(l)));
  return [2 * k * Math.cos(b) * Math.sin(l), k * Math.sin(b)];
}

// The position under a point of the map about a centre; null outside.
export function fromHammer(x, y, ra0, dec0) {
  const square = 1 - (x / 4) ** 2 - (y / 2) ** 2;
  if (square < 0.5) return null;
  const z = Math.sqrt(square);
  const [l, b] = [2 * Math.atan2(z * x, 2 * (2 * z * z - 1)), Math.asin(Math.max(-1, Math.min(1, z * y)))];
  return position(turnedBack(vector(l / RAD, b / RAD), ra0, dec0));
}

const ROW = [2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4];
const COLUMN = [1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7];

// Corners of a NESTED cell of HEALPix (Górski et al. 2005), from the southern one; `order` at most 13.
export function cellCorners(cell, order) {
  const face = Math.floor(cell / 4 ** order);
  const within = cell % 4 ** order;
  let [ix, iy] = [0, 0];
  for (let bit = 0; bit < order; bit += 1) {
    ix |= ((within >> (2 * bit)) & 1) << bit;
    iy |= ((within >> (2 * bit + 1)) & 1) << bit;
  }
  const n = 2 ** order;
  const middle = facePoint(face, (ix + 0.5) / n, (iy + 0.5) / n)[0];
  return [[0, 0], [1, 0], [1, 1], [0, 1]].map(([dx, dy]) => facePoint(face, (ix + dx) / n, (iy + dy) / n, middle));
}

function facePoint(face, x, y, atPole = 0) {
  const row = ROW[face] - x - y;
  const ring = Math.min(1, row, 4 - row); // below 1 in the polar caps
  const sin = ring < 1 ? (row < 1 ? 1 - ring ** 2 / 3 : ring ** 2 / 3 - 1) : ((2 - row) * 2) / 3;
  const ra = ring < 1e-12 ? atPole : (45 * (COLUMN[face] * ring + x - y)) / ring;
  return [(ra + 360) % 360, Math.asin(sin) / RAD];
}

const PV = 17;

// Position of a pixel (zero-based) by the WCS of a stamp; a plain TAN has the polynomial that changes nothing.
export function pixelToSky({ values: v }, x, y) {
  const [dx, dy] = [x + 1 - v[2], y + 1 - v[3]];
  const [u, w] = [v[4] * dx + v[5] * dy, v[6] * dx + v[7] * dy];
  return fromTangent(distorted(v, 8, u, w), distorted(v, 8 + PV, w, u), v[0], v[1]);
}

function distorted(v, at, x, y) {
  const r = Math.hypot(x, y);
  const terms = [1, x, y, r, x * x, x * y, y * y, x ** 3, x * x * y, x * y * y, y ** 3, r ** 3, x ** 4, x ** 3 * y, x * x * y * y, x * y ** 3, y ** 4];
  return terms.reduce((sum, term, k) => sum + v[at + k] * term, 0);
}
