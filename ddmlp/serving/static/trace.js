// Follows the trace of a run: one reader, which passes new events to all listeners.

const PAUSE = 500; // milliseconds between looks

const listeners = [];
let exists = false;
let reading = false;
let query = ""; // what the last answer said to ask next

// listener(events, cut): called with an array of events, in order; cut: whether events before them are missing
export function follow(listener) {
  listeners.push(listener);
  begin();
}

// there: whether the server has a trace
export function tell(there) {
  exists = there;
  begin();
}

// Whether these events are the first ones of a new run.
export const begins = (events) => events.some(({ name }) => name === "start");

async function begin() {
  if (reading || !exists || !listeners.length) return;
  reading = true;
  while (exists) {
    if (!document.hidden) await read();
    await new Promise((done) => setTimeout(done, PAUSE));
  }
  reading = false;
}

async function read() {
  let found;
  try {
    const answer = await fetch(`trace${query}`);
    if (!answer.ok) return;
    found = await answer.json();
  } catch {
    exists = false; // the server does not respond; the page says so, and tells when it does
    return;
  }
  query = `?file=${found.file}&offset=${found.offset}`;
  if (found.events.length) for (const listener of listeners) listener(found.events, found.skipped > 0);
}
