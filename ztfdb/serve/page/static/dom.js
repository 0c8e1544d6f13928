// Elements by code: text goes in as text only.

export const find = (id) => document.getElementById(id);

export function make(name, options = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((one) => one !== null && one !== undefined));
  return element;
}

export function facts(pairs) {
  const list = make("dl");
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === "") continue;
    list.append(make("dt", {}, name), make("dd", {}, value instanceof Node ? value : String(value)));
  }
  return list;
}

// A table; `columns` are {name, text?, cell?(row)}.
export function table(columns, rows, rowOptions = () => ({})) {
  const head = make("tr", {}, ...columns.map((one) => make("th", { scope: "col", className: one.text ? "text" : "" }, one.head ?? one.name)));
  const body = make("tbody");
  for (const row of rows) {
    const cells = columns.map((one) => make("td", { className: one.text ? "text" : "" }, one.cell(row) ?? ""));
    body.append(make("tr", rowOptions(row), ...cells));
  }
  return make("table", {}, make("thead", {}, head), body);
}

export function fixed(value, digits) {
  return value === null || value === undefined || !Number.isFinite(value) ? "" : value.toFixed(digits).replace("-", "−");
}

export function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

let timer = 0;

// Words above the page; `again` is what a button tries once more.
export function say(words, { bad = false, again = null } = {}) {
  clearTimeout(timer);
  const box = find("words");
  box.className = bad ? "words bad" : "words";
  box.setAttribute("role", bad ? "alert" : "status");
  box.replaceChildren(words);
  if (again) box.append(make("button", { type: "button", onclick: again }, "Try again"));
  box.hidden = !words;
}

export function wait(words) {
  say("");
  timer = setTimeout(() => say(words), 400);
}
