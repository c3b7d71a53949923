// Where everything is at a moment of a clip: units, workers, server, and what to say of it.

import { whole } from "./numbers.js";

const inside = (span, time) => span && span[0] <= time && time < span[1];
const past = (span, time) => span && span[1] <= time;

// A unit is at {at: "queue" (slot), "hand" (lane, slot), "work" (lane), "way" (lane), "server" or "gone"}.
// ghost: a straggler has it, and another worker, too; whole: its gradient is computed.
export function sceneAt(clip, index) {
  const { units, moments, steps, pauses, times, history } = clip;
  const time = times[index];
  const done = steps.filter(({ end }) => end <= time).length;
  const step = steps[Math.min(done, steps.length - 1)];
  const workers = history.workersAt(time);
  const shown = units.map((unit) => ({ unit, ...placeOf(unit, time, clip) })).filter(({ at }) => at !== "gone");
  line(shown.filter(({ at }) => at === "queue"), (each) => [each.unit.queued[0], each.unit.first]);
  for (const { lane } of workers) {
    line(shown.filter((each) => each.at === "hand" && each.lane === lane), (each) => [each.unit.queued[1], each.unit.first]);
  }
  // At the server each has its place in the order in which they are added, whenever it arrives.
  for (const each of shown.filter(({ at }) => at === "server")) {
    each.slot = units.filter(({ step, first, added }) => added && step === each.unit.step && first < each.unit.first).length;
  }
  const version = steps.findLast(({ end }) => end <= time)?.version ?? steps[0].version - 1;
  const added = units.filter((each) => each.step === step.step && past(each.added, time)).length;
  const server = {
    version, step: step.step, added,
    of: units.filter((each) => each.step === step.step && each.added).length,
    does: pauses.find((each) => inside([each.begin, each.end], time))?.name ??
      (inside([step.begin, step.end], time) ? "applied" : "added"),
    fresh: done > 0 && steps[done - 1].end === time,
  };
  const moment = moments.findLast(({ at }) => at <= time && steps.filter(({ end }) => end > at && end <= time).length < 2);
  return {
    units: shown, server, moment: moment?.name ?? "",
    workers: workers.map((each) => ({ ...each, busy: shown.some((unit) => unit.lane === each.lane && !unit.whole) })),
    said: moment ? words(moment, history, time) : usual(server, shown),
  };
}

function placeOf(unit, time, { units, steps, moments }) {
  const { queued, taken, read, computed, sent, added, lane } = unit;
  const gone = { at: "gone" };
  if (time < queued[0]) return gone;
  const from = origin(unit, units);
  if (time < queued[1]) return { at: "queue", from };
  const over = moments.find((each) => each.name === "overtaken" && each.lane === lane && each.at <= time && keyed(each, unit));
  const ghost = Boolean(over) && time >= over.at;
  if (!taken || time < taken[1]) return { at: "hand", lane, ghost, from };
  if (!read) return ghost ? { at: "hand", lane, ghost, from } : gone; // its worker has died, or has not answered yet
  if (time < computed[1]) return { at: "work", lane, ghost, from, begun: read[0], until: computed[1] };
  if (!sent || time < (added?.[0] ?? sent[1])) return { at: "way", lane, ghost, whole: true, from };
  const applied = steps.find((each) => each.step === unit.step)?.end ?? Infinity;
  return added && time < applied ? { at: "server", lane, whole: true, from } : gone;
}

const keyed = (moment, { step, first, count }) =>
  moment.step === step && moment.first === first && moment.count === count;

// Where a unit comes from: the lane of the worker that had it before, which is overdue or has died; 0 for the plan.
const origin = ({ key, queued }, units) =>
  units.findLast((each) => each.key === key && each.queued[0] < queued[0] && each.lane)?.lane ?? 0;

function line(units, order) {
  const sorted = units.map((each) => [order(each), each]).sort(([a], [b]) => a[0] - b[0] || a[1] - b[1]);
  for (const [slot, [, each]] of sorted.entries()) each.slot = slot;
}

// What happens if nothing special does.
function usual({ does, fresh, version, step, added, of }, units) {
  if (does === "test") return "The server tests the weights on the test rows.";
  if (does === "checkpoint") return "The server writes a checkpoint.";
  if (fresh) return `Step ${whole(version - 1)} is applied: the workers get version ${whole(version)} of the weights.`;
  if (does === "applied") return `All gradients of step ${whole(step)} have arrived: the server changes the weights.`;
  if (added) return `The server adds the gradients of step ${whole(step)}, always in the same order.`;
  if (units.some((each) => each.at === "work" || each.whole)) return `The workers compute the gradients of step ${whole(step)}.`;
  return `The plan makes ${of === 1 ? "1 unit" : `${of} units`} of step ${whole(step)}: which rows, and which weights.`;
}

function words({ name, worker, reason = "", step }, { moments }, time) {
  if (name === "overtaken") {
    return `Worker ${worker} is overdue: its units go to other workers, too. The first answer counts.`;
  }
  if (name === "death") {
    const why = reason ? ` (${reason})` : "";
    return `Worker ${worker} is gone${why}. Its units go back to the queue, and a new worker starts.`;
  }
  if (name === "joined") {
    const replaces = moments.some((each) => each.name === "death" && each.at < time);
    return replaces ? `Worker ${worker} replaces a worker that is gone.` : `Worker ${worker} joins.`;
  }
  return name === "restart" ? `The server was restarted, at step ${whole(step)}.` : "";
}
