// The service: addresses, answers, and its own words where it refuses.

export class Refused extends Error {
  constructor(words, status, kind) {
    super(words);
    this.status = status;
    this.kind = kind;
  }
}

// The service's own address: the page's may lack the slash at its end.
export const BASE = new URL("..", import.meta.url);

const KEPT = "ztfdb token"; // until the tab is closed

export const held = () => sessionStorage.getItem(KEPT);
export const keep = (token) => sessionStorage.setItem(KEPT, token);

export function address(path, options = {}) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(options)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") words.append(name, one);
    }
  }
  const text = words.toString();
  return BASE.pathname + (text ? `${path}?${text}` : path);
}

export async function get(path, options, signal) {
  return (await answered(address(`api/v1/${path}`, options), { signal })).json();
}

export async function tap(statement, maxrec, signal) {
  const body = new URLSearchParams({ LANG: "ADQL", FORMAT: "json", QUERY: statement, MAXREC: maxrec });
  return (await answered(address("tap/sync"), { method: "POST", body, signal })).json();
}

export async function text(path) {
  return (await answered(address(path), {})).text();
}

// An answer as a file: links and forms of a browser cannot send a token.
export async function file(path, how = {}) {
  const answer = await answered(path, how);
  const named = /filename="?([^";]+)/.exec(answer.headers.get("content-disposition") ?? "");
  return { blob: await answer.blob(), name: named?.[1] };
}

async function answered(path, how) {
  let answer;
  try {
    const headers = held() ? { Authorization: `Bearer ${held()}` } : {};
    answer = await fetch(path, { ...how, headers, credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The service does not answer. Is it still running?", 0, "");
  }
  if (answer.headers.get("content-type")?.startsWith("text/html")) { // of a proxy, or of a network that wants a login
    const words = `Another server answered for the service, with status ${answer.status}.`;
    throw new Refused(words, answer.ok ? 0 : answer.status, "");
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

async function refusal(answer) {
  const body = await answer.text();
  const type = answer.headers.get("content-type") ?? "";
  if (type.includes("json")) {
    try {
      const told = JSON.parse(body);
      return new Refused(told.detail ?? told.error ?? body, answer.status, told.error ?? "");
    } catch { /* not JSON after all: as it is */ }
  }
  if (type.includes("xml")) {
    const info = new DOMParser().parseFromString(body, "text/xml").querySelector('INFO[name="QUERY_STATUS"]');
    if (info) return new Refused(info.textContent, answer.status, "");
  }
  return new Refused(body.trim() || `The service answered ${answer.status}.`, answer.status, "");
}
