// The epochs as a table that can be sorted; a row's button chooses its epoch.

import { fixed, make, table } from "./dom.js";
import { judged } from "./curve.js";
import { day } from "./epoch.js";

const MOST = 2000;

export class EpochTable {
  // `told` has picked(epoch), state() and changed(change).
  constructor(element, told) {
    Object.assign(this, { element, told });
    this.box = element.querySelector(".scroll");
    element.addEventListener("toggle", () => this.draw());
  }

  show(epochs, threshold, chosen) {
    Object.assign(this, { epochs, threshold, chosen });
    this.draw();
  }

  columns() {
    const now = (one) => judged(one, this.threshold);
    return [
      { name: "MJD", value: (one) => one.mjd, cell: (one) => make("button", { type: "button", onclick: () => this.told.picked(one) }, fixed(one.mjd, 5)) },
      { name: "UTC", text: true, value: (one) => one.mjd, cell: (one) => day(one.mjd) },
      { name: "filter", text: true, value: (one) => one.filtercode, cell: (one) => one.filtercode },
      { name: "kind", text: true, value: (one) => now(one).kind, cell: (one) => now(one).kind },
      { name: "mag", value: (one) => now(one).mag, cell: (one) => fixed(now(one).mag, 3) },
      { name: "± mag", value: (one) => now(one).magerr, cell: (one) => fixed(now(one).magerr, 3) },
      { name: "limit", value: (one) => now(one).limit, cell: (one) => fixed(now(one).limit, 2) },
      { name: "µJy", value: (one) => one.flux_ujy, cell: (one) => fixed(one.flux_ujy, 2) },
      { name: "± µJy", value: (one) => one.flux_ujy_err, cell: (one) => fixed(one.flux_ujy_err, 2) },
      { name: "S/N", value: (one) => one.snr, cell: (one) => fixed(one.snr, 1) },
      { name: "good", text: true, value: (one) => one.good !== false, cell: (one) => (one.good === false ? "no" : "yes") },
      { name: "reason", text: true, value: (one) => one.reason ?? "", cell: (one) => one.reason ?? "" },
    ];
  }

  draw() {
    if (!this.element.open || !this.epochs) return;
    const columns = this.columns();
    const { tby, tdown } = this.told.state();
    const { name: by, value } = columns.find((one) => one.name === tby) ?? columns[0];
    const sign = tdown ? -1 : 1;
    const rows = [...this.epochs].sort((a, b) => sign * compared(value(a), value(b)));
    for (const one of columns) {
      const mark = one.name === by ? (tdown ? " ↓" : " ↑") : "";
      one.head = make("button", { type: "button", title: `Sort by ${one.name}`, onclick: () => this.sort(one.name, one.name === by && !tdown) }, one.name + mark);
    }
    this.box.replaceChildren(table(columns, rows.slice(0, MOST), (row) => ({ ariaCurrent: String(row.key === this.chosen) })));
    if (rows.length > MOST) this.box.append(make("p", { className: "quiet" }, `The first ${MOST} of ${rows.length} epochs; the files have all.`));
  }

  sort(name, down) {
    this.told.changed({ tby: name, tdown: down ? "1" : "" });
    this.draw();
  }
}

// What is missing comes last where the order is upwards.
function compared(a, b) {
  if (a == null || b == null) return (a == null) - (b == null);
  return a < b ? -1 : Number(a > b);
}
