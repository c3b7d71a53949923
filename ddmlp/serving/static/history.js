// What a trace says of the units: each time that a worker had one, and what became of it.

const MOST = 6000; // units, steps and tests that are kept: the newest ones
const RARE = 200; // moments
const MOMENTS = ["restart", "joined", "death", "overtaken"];
const SERVER = 0; // its lane

export const keyOf = ({ step, first, count }) => `${step}:${first}:${count}`;

// Times are microseconds, as in the trace.
export class History {
  // A unit that a worker had: {key, step, first, count, lane, queued, taken, read, computed, sent, added}, with the last six
  // [begin, end], or undefined if that has not happened. In the order of their ends.
  units = [];
  steps = []; // applied: {step, version, begin, end}, in order
  pauses = []; // of the server: {name, begin, end}
  moments = []; // {name, at, lane, ...what is known of it}
  known = new Map(); // the number of the worker that has each lane, from when on: [[time, number], ...]; null for none
  count = 0; // of units since the beginning
  #newest = new Map(); // unit by key
  #open = null;
  #cut = false;
  #whole = 0; // the oldest version whose steps are known with all of their units
  #restarted = false;

  // cut: whether events before these are missing
  take(events, cut = false) {
    this.#cut ||= cut;
    for (const event of events) this.#take(event);
    for (const list of [this.units, this.steps, this.pauses]) list.splice(0, list.length - MOST);
    this.moments.splice(0, this.moments.length - RARE);
    for (const list of this.known.values()) list.splice(0, list.length - RARE);
    while (this.#newest.size > MOST) this.#newest.delete(this.#newest.keys().next().value);
  }

  // Whether nothing is known yet.
  get empty() {
    return !this.steps.length;
  }

  #take({ ph: kind, name, pid, tid, ts, dur = 0, args = {} }) {
    const span = [ts, ts + dur];
    if (kind === "i" && MOMENTS.includes(name)) {
      this.moments.push({ ...args, name, at: ts, lane: tid });
      if (name === "joined") this.#join(tid, ts, args.worker);
      if (name === "restart") [this.#restarted, this.#whole] = [true, 0];
    }
    if (kind !== "X") return;
    if (name === "queued") this.#open = this.#begin(args, span);
    else if (name === "applied") this.#apply(args, span);
    else if (name === "added") this.#add(keyOf(args), span);
    else if (name === "test" || name === "checkpoint") this.pauses.push({ name, begin: ts, end: ts + dur });
    else if (this.#open?.key === keyOf(args)) this.#extend(name, pid, tid, span, args);
  }

  // The events of a unit are written together, in the order in which they have happened.
  #begin(args, queued) {
    const unit = { key: keyOf(args), step: args.step, first: args.first, count: args.count, queued };
    this.units.push(unit);
    this.#newest.delete(unit.key);
    this.#newest.set(unit.key, unit);
    this.count += 1;
    return unit;
  }

  #extend(name, pid, tid, span, { worker }) {
    this.#open[name] = span;
    if (name === "taken") this.#open.lane = tid >> 1;
    if (name === "computed" && tid !== SERVER) this.#note(tid, span[0], worker);
  }

  #add(key, span) {
    const unit = this.#newest.get(key);
    if (unit) unit.added = span;
  }

  // After a hole, steps that are open at the same time lack units.
  #apply({ step, version, read }, [begin, end]) {
    if (this.#cut) [this.#cut, this.#whole] = [false, version];
    if (read >= this.#whole) this.steps.push({ step, version, begin, end });
  }

  // Workers of a server that was restarted join again, if they are still there.
  #join(lane, at, worker) {
    if (this.#restarted) for (const each of this.known.keys()) this.#note(each, at, null);
    this.#restarted = false;
    this.#note(lane, at, worker);
  }

  #note(lane, at, worker) {
    const list = this.known.get(lane) ?? [];
    if (list.at(-1)?.[1] !== worker) list.push([at, worker]);
    this.known.set(lane, list);
  }

  // The workers at a time: {lane, worker, state}; state: "works", "late" or "dead".
  workersAt(time) {
    const lanes = [...this.known].map(([lane, list]) => {
      const past = list.filter(([at]) => at <= time);
      return { lane, worker: (past.at(-1) ?? list[0])[1], state: "works" };
    }).filter(({ worker }) => worker !== null);
    const byLane = new Map(lanes.map((each) => [each.lane, each]));
    for (const { name, at, lane, worker } of this.moments) {
      const found = byLane.get(lane);
      if (!found || at > time) continue;
      if (name === "joined") found.state = "works";
      else if (name === "overtaken") found.state = this.#answered(lane, at, time) ? "works" : "late";
      else if (name === "death" && found.worker === worker) found.state = "dead";
    }
    return lanes.sort((a, b) => a.lane - b.lane);
  }

  // Whether the worker of a lane has answered a unit in this time.
  #answered(lane, from, to) {
    return this.units.some((each) => each.lane === lane && each.sent && each.sent[1] > from && each.sent[1] <= to);
  }
}
