// Follows the trace of a run: one reader, which passes new events to all listeners.

const PAUSE = 500; // milliseconds between looks

const listeners = [];
let exists = false;
let reading = false;

// listener: called with an array of events, in order
export function follow(listener) {
  listeners.push(listener);
  begin();
}

// there: whether the run has a trace
export function tell(there) {
  exists = there;
  begin();
}

async function begin() {
  if (reading || !exists || !listeners.length) return;
  reading = true;
  let query = "";
  while (exists) {
    if (!document.hidden) query = (await read(query)) ?? query;
    await new Promise((done) => setTimeout(done, PAUSE));
  }
  reading = false;
}

async function read(query) {
  try {
    const answer = await fetch(`trace${query}`);
    if (!answer.ok) return null;
    const { file, offset, events } = await answer.json();
    if (events.length) for (const listener of listeners) listener(events);
    return `?file=${file}&offset=${offset}`;
  } catch {
    return null; // the server does not respond; the page says so
  }
}
