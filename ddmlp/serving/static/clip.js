// A short part of a trace, slowed down so that one can follow it.

import { keyOf } from "./history.js";

const UNITS = 12; // about as many are in a clip
const BEFORE = 1; // steps of a clip before what it is about
const STEP_SECONDS = 4; // that a step takes on the screen, about
const [LEAST, MOST] = [0.09, 0.9]; // seconds between two events on the screen
const HOLD = { applied: 0.8, joined: 1.2, overtaken: 1.6, death: 1.6, restart: 1.6 }; // seconds after such an event
const RANKS = ["death", "restart", "joined", "overtaken"]; // of what a clip may be about, most urgent first
const OLD = 60e6; // microseconds before the newest step, after which a moment is not shown any more

// Chooses clips of a history: what has happened to workers, once; else the newest steps.
export class Clips {
  shown = 0; // units that were in a clip so far
  #history;
  #told = new Set(); // moments that were in a clip
  #seen = new WeakSet(); // units

  constructor(history) {
    this.#history = history;
  }

  // The next clip; null if there is none. ended: whether no more events will come.
  next(ended = false) {
    const { steps } = this.#history;
    if (!steps.length) return null;
    const size = Math.min(8, Math.max(2, Math.round(UNITS / unitsAStep(this.#history))));
    const moment = this.#moment(size, ended);
    const middle = moment ? steps.findIndex(({ end }) => end >= moment.at) : -1;
    const center = middle < 0 ? steps.length - 1 : middle;
    const wanted = middle < 0 ? [center - size + 1, center] : [center - BEFORE, center + Math.max(1, size - BEFORE - 1)];
    const clip = clipOf(this.#history, ...together(steps, center, ...wanted));
    for (const each of clip.moments) this.#told.add(each);
    if (moment) this.#told.add(moment);
    else if (ended) this.#told.clear(); // show all again
    const fresh = clip.units.filter((each) => !this.#seen.has(each));
    for (const each of fresh) this.#seen.add(each);
    this.shown += fresh.length;
    return clip;
  }

  // The most urgent of the moments to show, of those the oldest.
  #moment(size, ended) {
    const { moments, steps } = this.#history;
    const newest = steps.at(-1).end;
    const settled = ended ? newest : steps.at(-Math.min(steps.length, size)).end;
    const due = moments.filter(
      (each) => RANKS.includes(each.name) && each.at <= settled && each.at > newest - OLD &&
        each.at > steps[0].begin && !this.#told.has(each),
    );
    const rank = ({ name }) => RANKS.indexOf(name);
    return due.reduce((best, each) => (best && rank(best) <= rank(each) ? best : each), null);
  }
}

// The indices of the steps from first to last around a middle one, as far as none is missing: a reader that is slower than
// the run misses some.
function together(steps, middle, first, last) {
  let [from, to] = [middle, middle];
  while (from > Math.max(0, first) && follows(steps, from)) from -= 1;
  while (to < Math.min(steps.length - 1, last) && follows(steps, to + 1)) to += 1;
  return [from, to];
}

const follows = (steps, each) => steps[each].version === steps[each - 1]?.version + 1;

function unitsAStep({ steps, units }) {
  const some = steps.slice(-20);
  const since = some[0].begin;
  return Math.max(1, units.filter(({ added }) => added && added[0] >= since).length / some.length);
}

// The clip of the steps with these indices. times: when something happens, in microseconds; shows: the same in seconds on
// the screen; factor: how often it is slowed down.
export function clipOf(history, first, last) {
  const steps = history.steps.slice(first, last + 1);
  const end = steps.at(-1).end;
  const before = follows(history.steps, first) ? history.steps[first - 1] : null;
  const numbers = new Set(steps.map(({ step }) => step));
  const own = history.units.filter((each) => numbers.has(each.step) && each.queued[0] < end && ends(each) > (before?.end ?? 0));
  const begin = before?.end ?? Math.min(steps[0].begin, ...own.map(({ queued }) => queued[0]));
  const within = (at) => at >= begin && at <= end;
  const moments = history.moments.filter(({ at }) => within(at));
  const units = [...own, ...unanswered(own, moments, begin)];
  const pauses = history.pauses.filter((each) => within(each.begin));
  const at = new Set([begin, end]);
  for (const { queued, taken, read, computed, sent, added } of units) {
    for (const span of [queued, taken, read, computed, sent, added]) for (const time of span ?? []) at.add(time);
  }
  for (const each of [...steps, ...pauses]) at.add(each.begin).add(each.end);
  for (const each of moments) at.add(each.at);
  const times = [...at].filter(within).sort((a, b) => a - b);
  return { history, begin, end, steps, units, moments, pauses, times, ...slowed(times, steps, moments) };
}

const ends = ({ queued, taken, sent, added }) => Math.max(queued[1], taken?.[1] ?? 0, sent?.[1] ?? 0, added?.[1] ?? 0);

// Units of stragglers that have not answered yet, or never will: only the moment is known.
function unanswered(units, moments, begin) {
  const same = (unit, moment) => unit.key === keyOf(moment) && unit.lane === moment.lane;
  return moments
    .filter((each) => each.name === "overtaken" && !units.some((unit) => same(unit, each)))
    .map(({ step, first, count, lane, at }) => {
      const key = keyOf({ step, first, count });
      return { key, step, first, count, lane, queued: [begin, begin], taken: [begin, at] };
    });
}

function slowed(times, steps, moments) {
  const lengths = steps.map(({ end }, each) => end - (steps[each - 1]?.end ?? times[0])).sort((a, b) => a - b);
  const factor = (1e6 * STEP_SECONDS) / Math.max(1, lengths[lengths.length >> 1]);
  const held = new Map(steps.map(({ end }) => [end, HOLD.applied]));
  for (const { at, name } of moments) held.set(at, HOLD[name] ?? 0);
  const least = Math.min(LEAST, (2 * STEP_SECONDS * steps.length) / times.length);
  const shows = [0];
  for (const [each, time] of times.slice(1).entries()) {
    const gap = Math.min(MOST, Math.max(least, ((time - times[each]) / 1e6) * factor));
    shows.push(shows[each] + Math.max(gap, held.get(times[each]) ?? 0));
  }
  return { shows, seconds: shows.at(-1) + HOLD.applied, factor };
}

// The index of the newest event at a time on the screen.
export const eventAt = ({ shows }, seconds) => Math.max(0, shows.findLastIndex((show) => show <= seconds));

// How much of the time between two events has passed on the screen, from 0 to 1.
export function shareAt({ times, shows }, begin, end, seconds) {
  const shown = (time) => shows[Math.max(0, times.findLastIndex((each) => each <= time))];
  return Math.min(1, Math.max(0, (seconds - shown(begin)) / Math.max(0.01, shown(end) - shown(begin))));
}
