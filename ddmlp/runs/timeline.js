// Draws the trace of a run as a timeline, with a lane for the server and one for each worker. In a report, its events are
// in the page. It is zoomed by wheel, pinch, buttons and keys.

import { draw, key, placeAt, time, visible } from "./timeline_drawing.js";

const [PROCESSES, WAY] = [1, 3]; // pid
const [ALL, MOST] = [150_000, 30_000]; // slices that are kept, and those of a lane: the newest ones
const MOMENTS = 1000; // kept
const STEPS = 40; // in view until it is moved
const LEAST = 20; // microseconds in view
const UNNAMED = "a worker";

export class Timeline {
  #lanes = new Map(); // by number: {name, slices, messages}, of [begin, end, name, arguments]
  #holes = []; // where events are missing, as slices
  #depths = []; // [moment, waiting, held]
  #moments = []; // {ts, tid, name, args}
  #applied = []; // when the newest steps were applied
  #end = -Infinity; // of the newest step or event
  #zero = Infinity; // of the axis
  #first = -Infinity; // from when on nothing was removed
  #last = -Infinity;
  #from = 0;
  #to = 0;
  #newest = true; // whether the view moves with the end
  #due = false;
  #pointers = new Map();
  #canvas = document.createElement("canvas");
  #said = document.createElement("p");
  #key = document.createElement("p");

  constructor(place) {
    const buttons = document.createElement("div");
    buttons.className = "buttons";
    for (const [text, label, press] of [
      ["−", "Zoom out", () => this.#zoom(2)],
      ["+", "Zoom in", () => this.#zoom(0.5)],
      ["All", "Show all", () => this.#show(this.#oldest, this.#last)],
      ["◀ event", "Previous event", () => this.#jump(-1)],
      ["event ▶", "Next event", () => this.#jump(1)],
      ["End", "Show the newest steps", () => this.#follow()],
    ]) {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: text, onclick: press });
      button.setAttribute("aria-label", label);
      buttons.append(button);
    }
    this.#canvas.tabIndex = 0;
    this.#canvas.setAttribute("role", "application");
    this.#said.className = this.#key.className = "faint";
    this.#said.setAttribute("role", "status");
    place.append(buttons, this.#canvas, this.#said, this.#key);
    this.#listen();
    new ResizeObserver(() => this.#redraw()).observe(place);
  }

  // events: of a trace, in order; cut: whether events before them are missing
  take(events, cut = false) {
    if (cut) this.#miss(events);
    for (const { ph, name, pid, tid, ts, dur, args } of events) {
      if (ph === "X" && pid === PROCESSES) this.#slice(this.#lane(tid), [ts, ts + dur, name, args]);
      else if (ph === "X" && pid === WAY) this.#push(this.#lane(tid >> 1).messages, [ts, ts + dur, name, args]);
      else if (ph === "C" && name === "units") this.#push(this.#depths, [ts, args.waiting, args.held]);
      else if (ph === "i") this.#moments = [...this.#moments.slice(1 - MOMENTS), { ts, tid, name, args }];
      else if (ph === "M" && pid === PROCESSES && name === "thread_name") this.#lane(tid).name = args.name;
      if (ph === "M" || (ph === "X" && pid !== PROCESSES)) continue;
      this.#zero = Math.min(this.#zero, ts);
      this.#last = Math.max(this.#last, ts + (dur ?? 0));
      const step = name === "applied" || name === "steps";
      if (step) this.#applied = [...this.#applied.slice(-STEPS), ts];
      if (step || ph === "i") this.#end = ts + (dur ?? 0);
    }
    if (this.#newest) this.#follow();
    this.#redraw();
  }

  #miss(events) {
    const next = events.find(({ ph, pid }) => ph === "X" && pid === PROCESSES)?.ts;
    if (this.#lanes.size && next > this.#last) this.#push(this.#holes, [this.#last, next, "missed"]);
  }

  #lane(number) {
    if (!this.#lanes.has(number)) this.#lanes.set(number, { name: number ? UNNAMED : "server", slices: [], messages: [] });
    return this.#lanes.get(number);
  }

  // The event that names a lane may be before the part of the trace that a page has.
  #slice(lane, slice) {
    const [, , name, args] = slice;
    if (lane.name === UNNAMED && name === "computed") lane.name = `worker ${args.worker}`;
    this.#push(lane.slices, slice);
  }

  #push(list, entry) {
    list.push(entry);
    const most = Math.min(MOST, ALL / this.#lanes.size);
    if (list.length <= most) return;
    list.splice(0, list.length - 0.75 * most);
    this.#first = Math.max(this.#first, list[0][0]);
  }

  // The beginning of what is known without a hole.
  get #oldest() {
    return Math.max(this.#zero, this.#first);
  }

  // Shows the newest steps, and those that follow; all, if none is known yet.
  #follow() {
    this.#show(this.#applied[0] ?? this.#oldest, Number.isFinite(this.#end) ? this.#end : this.#last);
    this.#newest = true;
  }

  #show(from, to) {
    const middle = (from + to) / 2;
    const half = Math.max(to - from, LEAST) / 2;
    [this.#from, this.#to, this.#newest] = [middle - half, middle + half, false];
    this.#redraw();
  }

  // at: the place that stays, as a part of the width
  #zoom(factor, at = 0.5) {
    const span = this.#to - this.#from;
    const wide = Math.min(Math.max(span * factor, LEAST), Math.max(this.#last - this.#oldest, LEAST));
    const from = this.#from + (span - wide) * at;
    this.#show(from, from + wide);
  }

  #pan(part) {
    const span = this.#to - this.#from;
    const from = Math.min(Math.max(this.#from + part * span, this.#oldest - span / 2), this.#last - span / 2);
    this.#show(from, from + span);
  }

  // Shows the next event, or the previous one, in the middle.
  #jump(way) {
    const middle = (this.#from + this.#to) / 2;
    const others = this.#moments.filter(({ ts }) => way * (ts - middle) > 1);
    const next = way > 0 ? others[0] : others.at(-1);
    if (!next) return;
    const half = (this.#to - this.#from) / 2;
    this.#show(next.ts - half, next.ts + half);
    this.#say(told(next.name, next.args, this.#lane(next.tid).name));
  }

  #say(text) {
    this.#said.textContent = text;
  }

  #listen() {
    const canvas = this.#canvas;
    const at = ({ clientX }) => (clientX - canvas.getBoundingClientRect().left) / canvas.clientWidth;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.#pan(event.deltaX / canvas.clientWidth);
      else this.#zoom(2 ** Math.max(-1, Math.min(1, event.deltaY / 200)), at(event));
    }, { passive: false }); // prettier-ignore
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#pointers.set(event.pointerId, at(event));
      this.#point(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = this.#pointers.get(event.pointerId);
      if (before === undefined) return this.#point(event);
      const now = at(event);
      const [other] = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      if (other === undefined) this.#pan(before - now);
      else this.#zoom(Math.max(Math.abs(before - other), 0.01) / Math.max(Math.abs(now - other), 0.01), other);
      this.#pointers.set(event.pointerId, now);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, ({ pointerId }) => this.#pointers.delete(pointerId));
    }
    const keys = { ArrowLeft: () => this.#pan(-0.2), ArrowRight: () => this.#pan(0.2), "+": () => this.#zoom(0.5),
      "-": () => this.#zoom(2), Home: () => this.#show(this.#oldest, this.#last), End: () => this.#follow() }; // prettier-ignore
    canvas.addEventListener("keydown", (event) => {
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
  }

  // Says what is at the pointer.
  #point({ clientX, clientY }) {
    const box = this.#canvas.getBoundingClientRect();
    const unit = (this.#to - this.#from) / box.width;
    const moment = this.#from + (clientX - box.left) * unit;
    const [place, messages] = placeAt(clientY - box.top);
    const [, lane] = this.#ordered()[place] ?? [];
    if (!lane) return;
    const near = visible(messages ? lane.messages : lane.slices, moment - 3 * unit, moment + 3 * unit);
    const away = ([begin, end]) => Math.max(begin - moment, moment - end, 0);
    const found = near.reduce((best, each) => (best && away(best) <= away(each) ? best : each), null);
    if (found) this.#say(`${told(found[2], found[3], lane.name)}: ${time(found[1] - found[0])}`);
  }

  #ordered() {
    return [...this.#lanes].sort(([a], [b]) => a - b);
  }

  #redraw() {
    if (this.#due || !this.#lanes.size) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#draw();
    });
  }

  #draw() {
    const [lanes, canvas, span] = [this.#ordered(), this.#canvas, this.#to - this.#from];
    const [holes, depths, moments] = [this.#holes, this.#depths, this.#moments];
    const trace = { lanes, holes, depths, moments, zero: this.#zero, last: this.#last };
    this.#key.replaceChildren(`In view: ${time(span)}. `, ...key(draw(canvas, trace, this.#from, this.#to)));
    const names = lanes.map(([, lane]) => lane.name);
    Object.assign(canvas.dataset, { from: this.#from, to: this.#to, lanes: lanes.length, names });
    const about = `Timeline of the server and ${lanes.length - 1} workers; in view: ${time(span)}.`;
    canvas.setAttribute("aria-label", `${about} Arrow keys move it, + and − zoom.`);
  }
}

// What an event says.
function told(name, { step, first, count, version, cause, reason, worker }, lane) {
  const parts = [lane, ": ", name];
  if (worker !== undefined && cause !== undefined) parts.push(`, worker ${worker} ${cause}: ${reason}`);
  if (step !== undefined) parts.push(` step ${step}`);
  if (first !== undefined) parts.push(count > 1 ? `, microbatches ${first} to ${first + count - 1}` : `, microbatch ${first}`);
  else if (count > 1) parts.push(` to ${step + count - 1}`);
  if (version !== undefined) parts.push(`, version ${version}`);
  return parts.join("");
}

for (const source of document.querySelectorAll("script.trace")) {
  new Timeline(source.parentElement).take(JSON.parse(source.textContent));
}
