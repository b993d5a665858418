// What the server answers. Nothing here is believed: whoever shows it verifies it first.

const TOKEN = "pg_ets token";

/** A refusal: problem+json (RFC 9457), or a server that cannot be reached. */
export class Refusal extends Error {
  constructor(status, { title, hint, sqlstate, errors } = {}) {
    super(title || `The server answers ${status}.`);
    Object.assign(this, { status, sqlstate, hint, detail: errors && JSON.stringify(errors, null, 2) });
  }
}

/** A token for a server that asks for one, kept until the tab is closed. */
export const setToken = (token) => sessionStorage.setItem(TOKEN, token);

export async function request(path, { signal, headers } = {}) {
  const token = sessionStorage.getItem(TOKEN), authorization = token ? { authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { signal, headers: { ...authorization, ...headers } }).catch((error) => {
    throw error.name === "AbortError" ? error : new Refusal(0, { title: "The server cannot be reached." });
  });
  if (!answer.ok) throw new Refusal(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

const query = (values) => new URLSearchParams(Object.entries(values).filter(([, value]) => value !== undefined && value !== null));
const get = async (route, values = {}) => (await request(`/api/ledger/${route}?${query(values)}`)).json();
const text = async (path) => (await request(path)).text();

export const domains = () => get("domains");
export const checkpoints = (before, limit = 50) => get("checkpoints", { before, limit });
export const streams = (domain, after, limit = 100) => get("streams", { domain, after, limit });
export const events = (domain, stream, after, limit = 100) => get("events", { domain, stream, after, limit });
export const search = (q) => get("search", { q });
export const status = () => get("status");
export const activity = (hours) => get("activity", { hours });
export const consistency = (domain, from, to) => get("consistency", { domain, from, to });
export const trustRoot = () => get("trust-root");
/** The very text, since its bytes are what is verified. */
export const eventText = (id) => text(`/api/ledger/event/${encodeURIComponent(id)}`);
export const bundleText = (id) => text(`/api/merkle/proof/${encodeURIComponent(id)}`);

/** Splits a stream of server-sent events into objects of their fields. */
async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    const blocks = (waiting + value).replace(/\r\n?/g, "\n").split("\n\n");
    waiting = blocks.pop();
    for (const block of blocks) {
      const message = { data: [] };
      for (const line of block.split("\n")) {
        const [, name, content] = /^([^:]*):? ?(.*)$/.exec(line);
        if (name === "data") message.data.push(content); else message[name] = content;
      }
      yield { ...message, data: message.data.join("\n") };
    }
  }
}

/**
 * Calls `each` with the text of every event of a domain after leaf `last` until `signal` says stop; if that is
 * undefined, of new ones. `say` hears how the line is.
 */
export async function follow(domain, last, each, say, signal) {
  let wait = 1000;
  while (!signal.aborted) {
    try {
      const headers = { accept: "text/event-stream", ...(last === undefined ? {} : { "last-event-id": String(last) }) };
      const { body } = await request(`/api/ledger/feed?${query({ domain })}`, { signal, headers });
      say("listening");
      for await (const { id, data } of messages(body)) {
        last = id ?? last;
        wait = 1000;
        if (data) each(data);
      }
      say("the line closed; trying again");
    } catch (error) {
      if (signal.aborted) return;
      say(`${error.message} Trying again.`);
    }
    await new Promise((resume) => { setTimeout(resume, wait); });
    wait = Math.min(wait * 2, 30_000);
  }
}
