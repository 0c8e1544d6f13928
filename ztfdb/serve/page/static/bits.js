// What the bits of a mask and the flags of a source say; the names are those of ztfdb/bits.py.

export const MASK_BITS = {
  TRACKS: "satellite or aircraft track", SEXSOURCES: "", LOWRESPONSIVITY: "low responsivity", HIGHRESPONSIVITY: "high responsivity", NOISY: "noisy pixel",
  GHOSTS: "ghost of a bright star", SPILLAGE: "charge spillage", SPIKES: "diffraction spike", SATURATED: "saturated pixel", DEAD: "dead pixel", NAN: "no value",
  PSFSOURCES: "", BRIGHTSTARHALO: "halo of a bright star",
};
export const FLAGS = {
  BLENDED: "blended with a neighbour", EDGE: "at the edge of the image", SATURATED: "saturated", APERTURE_TRUNCATED: "aperture beyond the edge",
  APERTURE_INCOMPLETE: "pixels missing in the aperture", LARGE_APERTURE_TRUNCATED: "10 or 14 px aperture beyond the edge",
  LARGE_APERTURE_INCOMPLETE: "pixels missing in the 10 or 14 px aperture", KRON_DEFAULT: "smallest Kron radius", KRON_TRUNCATED: "Kron aperture cut",
  WINDOW_FAILED: "no windowed position", RADIUS_FAILED: "no half-light radius", DEBLEND_LIMITED: "deblending limited here", SKY_BIASED: "sky of a small cutout",
};

// The words of the bits that are set; those that only say that a source is here have none.
export function bitWords(bits, names) {
  return Object.values(names).filter((words, bit) => words && (bits & (1 << bit)));
}
