// The box for statements: examples, tables and columns, rows, files.

import { find, make, save, table } from "./dom.js";
import { Scatter } from "./scatter.js";
import { address, file, get, held, tap, text } from "./service.js";
import { listed, withName } from "./state.js";

const SHOWN = 1000;

export class Adql {
  // `told` has place(), state(), changed(change) and open(position).
  constructor(told) {
    this.told = told;
    this.box = find("adql");
    find("query").addEventListener("submit", (event) => { event.preventDefault(); this.run(); });
    this.box.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.run(); });
    this.box.addEventListener("change", () => this.edited());
    find("examples").addEventListener("change", () => this.example());
    for (const format of ["csv", "votable", "fits", "parquet"]) find(`adql-${format}`).addEventListener("click", () => this.download(format));
    find("plan-run").addEventListener("click", () => this.plan());
    this.scatter = new Scatter(told);
  }

  show(statement) {
    if (statement) this.box.value = statement;
    if (this.ready) return;
    this.ready = true;
    this.again(listed(this.told.state().arun));
    this.examples().catch((error) => this.say(error.message));
    this.tables().catch((error) => { this.ready = false; this.say(error.message); });
  }

  // What a shared address shows is asked for anew.
  async again(shown) {
    if (shown.has("rows")) await this.run();
    if (shown.has("plan")) await this.plan();
  }

  // Rows and a plan belong to the statement as it was.
  edited() {
    if (this.box.value !== this.told.state().adql) this.told.changed({ adql: this.box.value, arun: "" });
  }

  say(words) {
    find("adql-said").textContent = words;
  }

  async examples() {
    const page = new DOMParser().parseFromString(await text("tap/examples"), "text/html");
    this.held = [...page.querySelectorAll("[typeof=example]")].map((one) => ({
      name: one.querySelector("[property=name]").textContent, query: one.querySelector("[property=query]").textContent,
    })).filter((one) => !one.query.includes("tap_upload")); // the page sends no tables
    find("examples").append(...this.held.map((one, at) => make("option", { value: at }, one.name)));
  }

  example() {
    const chosen = this.held?.[Number(find("examples").value)];
    if (find("examples").value === "" || !chosen) return;
    const place = this.told.place();
    const query = place ? chosen.query.replace(/\('ICRS', [-\d.]+, [-\d.]+/g, `('ICRS', ${place.ra}, ${place.dec}`) : chosen.query;
    this.box.value = query;
    this.edited();
  }

  async tables() {
    const { data } = await tap("select table_name, description from tap_schema.tables", 1000);
    find("schema").replaceChildren(...data.map(([name, words]) => this.tableOf(name, words)));
  }

  tableOf(name, words) {
    const list = make("ul");
    const element = make("details", {}, make("summary", {}, name), make("p", { className: "quiet" }, words ?? ""), list);
    element.addEventListener("toggle", async () => {
      if (!element.open || list.hasChildNodes()) return;
      try {
        const statement = `select column_name, unit, description from tap_schema.columns where table_name = '${name}'`;
        const { data } = await tap(statement, 1000);
        list.append(...data.map(([column, unit, about]) => make("li", {},
          make("button", { type: "button", title: `Write ${column}`, onclick: () => this.write(column) }, column), `${unit ? ` [${unit}]` : ""} ${about ?? ""}`)));
      } catch (error) {
        this.say(error.message);
      }
    });
    return element;
  }

  write(words) {
    this.box.setRangeText(words, this.box.selectionStart, this.box.selectionEnd, "end");
    this.box.focus();
    this.edited();
  }

  async run() {
    this.abort?.abort();
    this.abort = new AbortController();
    this.told.changed({ adql: this.box.value, arun: "rows" });
    find("rows").replaceChildren();
    find("plan").hidden = true;
    this.scatter.clear();
    this.say("Running…");
    try {
      const found = await tap(this.box.value, SHOWN, this.abort.signal);
      const cut = found.overflow ? `; there are more than these ${found.data.length}` : "";
      this.say(found.error ?? `${found.data.length} rows${cut}.`);
      find("rows").replaceChildren(this.rows(found));
      this.scatter.show(found);
    } catch (error) {
      if (error.name !== "AbortError") this.say(error.message);
    }
  }

  // How the database would find the rows, without running the statement.
  async plan() {
    this.edited();
    this.told.changed({ arun: withName(this.told.state().arun, "plan", true) });
    this.say("");
    try {
      const { engine, lines } = await get("plan", { query: this.box.value });
      find("plan").hidden = false;
      find("plan").querySelector("h2").textContent = `Plan (${engine})`;
      find("plan").querySelector("pre").textContent = lines.join("\n");
    } catch (error) {
      find("plan").hidden = true;
      this.say(error.message);
    }
  }

  rows({ metadata, data }) {
    const names = metadata.map((one) => one.name);
    const [ra, dec] = [names.indexOf("ra"), names.indexOf("dec")];
    const columns = metadata.map((one, at) => ({
      name: one.name, head: one.unit ? `${one.name} [${one.unit}]` : one.name, text: one.datatype === "char", cell: (row) => String(row[at] ?? ""),
    }));
    if (ra >= 0 && dec >= 0) {
      const link = (row) => (row[ra] === null ? "" : make("button", { type: "button", onclick: () => this.told.open(`${row[ra]} ${row[dec]}`) }, "light curve"));
      columns.unshift({ name: "sky", text: true, cell: link });
    }
    return table(columns, data);
  }

  // By a form, because the answer may be large; a form cannot send a token.
  async download(format) {
    const fields = { LANG: "ADQL", FORMAT: format, QUERY: this.box.value };
    if (held()) {
      try {
        save((await file(address("tap/sync"), { method: "POST", body: new URLSearchParams(fields) })).blob, `rows.${format}`);
      } catch (error) {
        this.say(error.message);
      }
      return;
    }
    const form = make("form", { method: "post", action: address("tap/sync"), target: "_blank", hidden: true },
      ...Object.entries(fields).map(([name, value]) => make("input", { type: "hidden", name, value })));
    document.body.append(form);
    form.submit();
    form.remove();
  }
}
