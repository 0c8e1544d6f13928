// The panel of one epoch, and the strip of all stamps.

import { FLAGS, MASK_BITS, bitWords } from "./bits.js";
import { colour, dateOf, judged, look } from "./curve.js";
import { facts, find, fixed, make, table } from "./dom.js";
import { address, get } from "./service.js";
import { STRETCH, drawPixels, drawStamp } from "./stamp.js";
import { listed, withName } from "./state.js";

export const SIZES = [23, 31, 63, 127];
const STRIP_MOST = 400;
const GRID = { size: 23, north_up: true };
const DID = "ivo://ztfdb/image?";

export const day = (mjd) => dateOf(mjd).toISOString().slice(0, 19).replace("T", " ");

// North is up by flips; images that are oriented otherwise are shown as they are.
async function cut(path, options, signal) {
  try {
    return await get(path, options, signal);
  } catch (error) {
    if (error.kind !== "StampError") throw error;
    return get(path, { ...options, north_up: false }, signal);
  }
}

export class EpochPanel {
  // `told` has asked(), the position and options; step(n), which walks; state() and changed(change).
  constructor(element, told) {
    Object.assign(this, { element, told });
    this.canvas = make("canvas", { role: "img" });
  }

  clear() {
    this.abort?.abort();
    this.epoch = null;
    this.element.replaceChildren(make("p", { className: "quiet" }, "Click a point, or walk with ← and →, to see the star on that image."));
  }

  show(epoch, threshold) {
    this.abort?.abort();
    this.abort = new AbortController();
    this.epoch = epoch;
    this.stamp = null;
    const said = make("p", { className: "quiet", role: "status" });
    this.said = said;
    this.element.replaceChildren(
      make("h2", {}, make("span", {}, make("span", { className: colour(epoch.filtercode) }, `${look(epoch.filtercode).name} `), `${day(epoch.mjd)} UTC`),
        make("span", {},
          make("button", { type: "button", ariaLabel: "Epoch before", title: "←", onclick: () => this.told.step(-1) }, "←"), " ",
          make("button", { type: "button", ariaLabel: "Epoch after", title: "→", onclick: () => this.told.step(1) }, "→"))),
      ...this.picture(epoch), said, this.numbers(epoch, threshold), ...this.behind(epoch));
    return this.load();
  }

  picture(epoch) {
    if (!epoch.image_id) return [make("p", { className: "quiet" }, "This row is of no image of the archive: there are no pixels to show.")];
    const now = this.look;
    const size = make("select", { id: "stamp-size", onchange: () => { this.told.changed({ size: size.value }); this.load(); } },
      ...SIZES.map((one) => make("option", { value: one, selected: one === now.size }, `${one} px`)));
    const stretch = make("select", { id: "stamp-stretch", onchange: () => { this.told.changed({ stretch: stretch.value }); this.draw(); } },
      ...Object.keys(STRETCH).map((one) => make("option", { value: one, selected: one === now.stretch }, one)));
    const mask = make("input", { id: "stamp-mask", type: "checkbox", checked: now.mask, onchange: () => { this.told.changed({ mask: mask.checked ? "1" : "" }); this.draw(); } });
    return [this.canvas, make("div", { className: "bar" }, make("label", {}, "Size ", size), make("label", {}, "Stretch ", stretch), make("label", {}, mask, " mask"))];
  }

  // How the stamp is drawn; what the address holds may be anything.
  get look() {
    const { size, stretch, mask } = this.told.state();
    return { size: SIZES.find((one) => String(one) === size) ?? SIZES[1], stretch: stretch in STRETCH ? stretch : "linear", mask: mask === "1" };
  }

  options() {
    const { ra, dec, aperture } = this.told.asked();
    return { ra, dec, aperture, size: this.look.size };
  }

  async load() {
    const epoch = this.epoch;
    this.canvas.ariaLabel = "No stamp yet";
    this.canvas.removeAttribute("data-image");
    if (!epoch.image_id) return;
    try {
      const answer = await cut(`stamp/${epoch.image_id}.json`, { ...this.options(), north_up: true }, this.abort.signal);
      if (epoch !== this.epoch) return;
      this.stamp = answer.stamps[0];
      this.draw();
    } catch (error) {
      if (error.name === "AbortError" || epoch !== this.epoch) return;
      this.canvas.hidden = true;
      this.said.textContent = `No pixels: ${error.message}`;
    }
  }

  draw() {
    const stamp = this.stamp;
    if (!stamp) return;
    this.canvas.hidden = stamp.status !== "ok";
    this.said.textContent = stamp.status === "ok" ? "" : `No pixels: ${stamp.problem?.reason ?? stamp.status}.`;
    if (stamp.status !== "ok") return;
    drawStamp(this.canvas, stamp, this.look);
    this.canvas.dataset.image = stamp.image_id;
    this.canvas.ariaLabel = `Stamp of ${stamp.data.shape[1]} pixels of image ${stamp.image_id}, ${stamp.north_up ? "north up" : "as the image lies"}, with the aperture of ${2 * stamp.radius} pixels`;
  }

  numbers(epoch, threshold) {
    const now = judged(epoch, threshold);
    const error = (value) => (value == null ? "" : ` ± ${fixed(value, 3)}`);
    return facts([
      ["why no detection", ["forced", "limit"].includes(epoch.kind) && !epoch.reason && (epoch.phot ?? "aperture") === "aperture" && this.told.state().measure === "auto" ? `no source within ${this.told.state().r}″; the light in the aperture has S/N ${fixed(epoch.snr, 1)}` : ""],
      ["this epoch", `${now.kind}${now.kind !== epoch.kind && epoch.kind ? ` (archive: ${epoch.kind})` : ""}${epoch.reason ? `: ${epoch.reason}` : ""}`],
      ["magnitude", now.mag == null ? "" : `${fixed(now.mag, 3)}${error(now.magerr)} AB`],
      ["limit", now.kind === "limit" && now.limit != null ? `> ${fixed(now.limit, 3)} (${now.sigma} σ, here)` : ""],
      ["flux", epoch.flux_ujy == null ? "" : `${fixed(epoch.flux_ujy, 2)} ± ${fixed(epoch.flux_ujy_err, 2)} µJy (S/N ${fixed(epoch.snr, 1)})`],
      ["MJD", fixed(epoch.mjd, 5)], ["HJD", epoch.hjd == null ? "" : fixed(epoch.hjd, 5)],
      ["good", epoch.good === false ? "no: known trouble" : epoch.good === true ? "yes" : ""],
      ["flags", [epoch.blended ? "blended" : "", epoch.contaminated ? "light of a neighbour" : "", ...bitWords(epoch.mask_bits ?? 0, MASK_BITS).map((one) => `${one} (mask)`), ...(epoch.kind === "detection" ? bitWords(epoch.flags ?? 0, FLAGS) : []), epoch.mask_bits || epoch.flags ? `mask bits ${epoch.mask_bits ?? 0}, flags ${epoch.flags ?? 0}` : "", epoch.simulated ? "simulated image" : ""].filter(Boolean).join(", ")],
      ["separation", epoch.separation == null ? "" : `${fixed(epoch.separation, 2)}″ from the position${epoch.n_within > 1 ? `, nearest of ${epoch.n_within} sources` : ""}`],
      ["pixel", epoch.x == null ? "" : `${fixed(epoch.x, 2)}, ${fixed(epoch.y, 2)}`],
      ["image", [`field ${epoch.field} CCD ${epoch.ccdid} quadrant ${epoch.qid}`, epoch.exptime == null ? "" : `${fixed(epoch.exptime, 0)} s`, epoch.airmass == null ? "" : `airmass ${fixed(epoch.airmass, 2)}`].filter(Boolean).join(", ")],
      ["zero point", epoch.magzp == null ? "" : `${fixed(epoch.magzp, 3)} (${epoch.calibration ?? "header"})`],
      ["limit of image", fixed(epoch.limitmag, 2)],
      ["image_id", epoch.image_id], ["source_id", epoch.source_id], ["phot", epoch.phot],
    ]);
  }

  behind(epoch) {
    if (!epoch.image_id) return [];
    const made = [this.links(epoch)];
    if (epoch.source_id && (epoch.kind ?? "detection") === "detection" && (epoch.phot ?? "aperture") === "aperture") made.push(this.explanation(epoch));
    return made;
  }

  links(epoch) {
    const stamp = `api/v1/stamp/${epoch.image_id}`;
    const options = this.options();
    const circle = `${options.ra} ${options.dec} 0.003`;
    return make("p", { className: "links" }, "Stamp: ",
      make("a", { href: address(`${stamp}.fits`, options), download: `stamp_${epoch.image_id}.fits` }, "FITS"), " ",
      make("a", { href: address(`${stamp}.png`, { ...options, north_up: this.stamp?.north_up ?? true, scale: 8 }), download: `stamp_${epoch.image_id}.png` }, "PNG"),
      " · Image: ", make("a", { href: address(`files/${epoch.image_id}/sci`) }, "FITS"), " ",
      make("a", { href: address("soda/sync", { ID: `${DID}${epoch.image_id}`, CIRCLE: circle, MASK: 1 }) }, "cutout with mask"), " ",
      make("a", { href: address("datalink/links", { ID: `${DID}${epoch.image_id}` }) }, "all links"));
  }

  explanation(epoch) {
    const body = make("div");
    const fill = async (measure) => {
      body.replaceChildren(measure ? "Measuring the image again…" : "Reading…");
      try {
        body.replaceChildren(...explained(await get(`explain/${epoch.source_id}`, { measure }), measure, () => fill(true)));
      } catch (error) {
        body.replaceChildren(error.message);
      }
    };
    const element = make("details", { id: "explain" }, make("summary", {}, "Where this number comes from"), body);
    element.addEventListener("toggle", () => {
      this.told.changed({ open: withName(this.told.state().open, "explain", element.open) });
      if (element.open && !body.hasChildNodes()) fill(false);
    });
    element.open = listed(this.told.state().open).has("explain");
    return element;
  }
}

function explained(found, measured, again) {
  const values = found.values.data;
  const rows = values.column.map((name, at) => ({ name, stored: values.stored[at], now: values.measured[at], same: values.identical[at] }));
  const columns = [{ name: "column", text: true, cell: (row) => row.name }, { name: "stored", cell: (row) => String(row.stored ?? "") }];
  if (measured) columns.push({ name: "now", cell: (row) => String(row.now ?? "") }, { name: "same", text: true, cell: (row) => (row.same ? "yes" : "no") });
  const verdict = found.identical === true ? "Measured again: every column is the same, bit for bit." : found.identical === false ? "Measured again: some columns differ." : `Not measured again: ${found.problem}.`;
  const files = found.files.data;
  return [
    measured ? make("p", {}, verdict) : make("button", { type: "button", onclick: again }, "Measure it again"),
    make("h3", {}, "Source"), make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Columns of the source" }, table(columns, rows)),
    make("h3", {}, "Files"), facts(files.role.map((role, at) => [role, `${files.path[at]}: ${files.status[at]}, sha256 ${files.sha256[at].slice(0, 16)}…`])),
    make("h3", {}, "Header"), facts(Object.entries(found.cards)),
    make("h3", {}, "Settings"), facts(Object.entries(found.settings).map(([name, value]) => [name, [value].flat().join(", ")])),
    make("h3", {}, "Software then"), facts(Object.entries(found.versions)),
  ];
}

export class Strip {
  // `told` has picked(epoch), state(), changed(change), and arrived() when the stamps are there.
  constructor(element, told) {
    Object.assign(this, { element, told, buttons: new Map(), held: [], kept: new Set() });
  }

  // Another light curve is on its way: the service is not to cut stamps of this one meanwhile.
  stop() {
    this.abort?.abort();
  }

  clear() {
    this.stop();
    this.element.replaceChildren();
    this.buttons.clear();
    this.held = [];
    find("blink-bar").hidden = true;
  }

  // The stamps with pixels of the epochs that are drawn, in order of time.
  shown() {
    return this.held.filter(({ epoch }) => !this.buttons.get(epoch.key)?.hidden);
  }

  // Stamps of all epochs, in their order, in one request.
  async load(epochs, options) {
    this.clear();
    const imaged = epochs.filter((one) => one.image_id);
    find("strip-title").hidden = !imaged.length;
    if (!imaged.length) return;
    if (imaged.length > STRIP_MOST && !this.told.state().strip) {
      const cutAll = () => { this.told.changed({ strip: "1" }); this.load(epochs, options); };
      this.element.append(make("button", { type: "button", onclick: cutAll }, `Cut the stamps of all ${imaged.length} epochs`));
      return;
    }
    this.abort = new AbortController();
    try {
      const { stamps } = await cut("stamps.json", { ...options, ...GRID }, this.abort.signal);
      const held = new Map(stamps.map((one) => [one.image_id, one]));
      for (const epoch of imaged) this.add(epoch, held.get(epoch.image_id));
      this.held = imaged.map((epoch) => ({ epoch, stamp: held.get(epoch.image_id) })).filter(({ stamp }) => stamp?.status === "ok");
      find("blink-bar").hidden = !this.held.length;
      this.keep(this.kept);
      this.mark(this.chosen);
      this.told.arrived();
    } catch (error) {
      if (error.name !== "AbortError") this.element.replaceChildren(make("p", { className: "quiet" }, error.message));
    }
  }

  add(epoch, stamp) {
    const pixels = make(stamp?.status === "ok" ? "canvas" : "span", { className: stamp?.status === "ok" ? "" : "none" });
    if (stamp?.status === "ok") drawPixels(pixels, stamp);
    else pixels.textContent = stamp?.status ?? "no stamp";
    const name = look(epoch.filtercode).name;
    const button = make("button", { type: "button", ariaPressed: "false", title: `${name} ${day(epoch.mjd)} ${epoch.kind ?? ""}`, onclick: () => this.told.picked(epoch) },
      pixels, make("span", {}, make("b", { className: colour(epoch.filtercode) }, name), ` ${day(epoch.mjd).slice(0, 10)}`));
    button.dataset.key = epoch.key;
    this.buttons.set(epoch.key, button);
    this.element.append(button);
  }

  // Frame the chosen epoch; those that are not drawn are not shown.
  mark(key) {
    this.chosen = key;
    for (const [name, button] of this.buttons) button.ariaPressed = String(name === key);
    const button = this.buttons.get(key);
    if (!button) return;
    const box = this.element;
    const [top, bottom] = [button.offsetTop - box.offsetTop, button.offsetTop - box.offsetTop + button.offsetHeight];
    if (top < box.scrollTop || bottom > box.scrollTop + box.clientHeight) box.scrollTop = top;
  }

  // The epochs that are drawn: stamps that arrive later are as the plot is by then.
  keep(keys) {
    this.kept = keys;
    for (const [name, button] of this.buttons) button.hidden = !keys.has(name);
  }
}
