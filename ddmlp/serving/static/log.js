// The log of a run, newest line first.

import { make } from "./make.js";
import { whole } from "./numbers.js";

const MOST = 200; // lines; older ones are removed
const percent = (share) => `${(100 * share).toFixed(2)} %`;
const SENTENCES = {
  start: ({ step, complaints }) => [step ? "Resumed." : "Started.", ...complaints].join(" "),
  epoch: ({ epoch, test_error: error }) => `Epoch ${epoch} ended: ${percent(error)} test error.`,
  checkpoint: () => "Checkpoint written.",
  drift: ({ before, after }) => `Drift alarm: the error has risen from ${percent(before)} to ${percent(after)}.`,
  lost: ({ worker, host, cause, reason }) => `Worker ${worker} on ${host || "an unknown host"} ${cause}: ${reason}`,
};

export class Log {
  #list;

  constructor(list) {
    this.#list = list;
  }

  get empty() {
    return !this.#list.children.length;
  }

  clear() {
    this.#list.replaceChildren();
  }

  take(event) {
    const said = SENTENCES[event.event]?.(event);
    if (!said) return;
    this.#list.prepend(make("li", "", make("span", `step ${whole(event.step)}`), ` ${said}`));
    if (this.#list.children.length > MOST) this.#list.lastChild.remove();
  }
}
