// The picture of a run without a trace: its newest figures.

import { plural, whole } from "./numbers.js";

const HOW = "The newest figures.";
const TRACE = `${HOW} Train with --trace to see units move.`;
const LOCAL = "One process needs no queue. Train with --workers 3 --trace to see units move.";

// told: what the page knows of the run; most: workers that are drawn, the newest ones. null if nothing is known yet.
export function stillOf(told, most) {
  const now = told?.progress.at(-1);
  if (!now) return null;
  const ended = Boolean(told.state?.result);
  const step = `step ${whole(now.step)}`;
  const speed = ended ? "has ended" : `${whole(now.rows_per_second ?? 0)} rows/s`;
  const { units, gradients } = now.queues;
  const plan = [`epoch ${now.epoch.toFixed(1)}`];
  if (!units.high_water) {
    const lines = [`version ${whole(now.step)}`, speed];
    const one = { lane: 1, name: "One process", lines, state: ended ? "idle" : "works" };
    return { units: [], workers: [one], plan: [step, ...plan], local: true, said: "", how: LOCAL };
  }
  const lost = new Set(told.lost.map(({ worker }) => String(worker)));
  const there = Object.entries(now.answered ?? {}).filter(([number]) => !lost.has(number));
  const drawn = there.sort(([a], [b]) => a - b).slice(-most);
  const rest = there.length > drawn.length ? ` ${drawn.length} of ${whole(there.length)} workers are drawn.` : "";
  return {
    units: [], plan: [step, ...plan], local: false, said: "", how: (told.state?.trace ? HOW : TRACE) + rest,
    queue: [`${plural(units.depth, "unit")} open`, `at most ${whole(units.high_water)} so far`],
    workers: drawn.map(([number, count], each) => ({
      lane: each + 1, name: `Worker ${number}`, state: ended ? "idle" : "works", lines: [plural(count, "unit"), "answered"],
    })),
    server: [`version ${whole(now.step)}`, ended ? speed : `gradients: ${whole(gradients.depth)}`, ended ? "" : speed],
  };
}
