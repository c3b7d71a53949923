// The workers of a run: units that each has answered, and whether it was lost.

import { make } from "./make.js";
import { whole } from "./numbers.js";

const MOST = 64; // workers shown: those with the highest numbers, which are the newest

export class Workers {
  #list;
  #title;

  constructor(list, title) {
    this.#list = list;
    this.#title = title;
  }

  // answered: units by worker, since the last start; lost: events about lost workers; units: also theirs, as far as known
  show(answered, lost, units) {
    const gone = new Map(lost.map((each) => [String(each.worker), each]));
    const numbers = [...new Set([...Object.keys(answered), ...gone.keys()])].sort((a, b) => a - b).slice(-MOST);
    this.#list.hidden = this.#title.hidden = !numbers.length;
    const counts = numbers.map((number) => units[number] ?? 0);
    const most = Math.max(1, ...counts);
    this.#list.replaceChildren(...numbers.map((number, each) => row(number, counts[each], most, gone.get(number))));
  }
}

function row(number, units, most, lost) {
  const bar = make("progress");
  Object.assign(bar, { max: most, value: units });
  bar.setAttribute("aria-label", `units answered by worker ${number}`);
  const said = lost ? `${whole(units)} units; ${lost.cause} on ${lost.host || "an unknown host"}` : `${whole(units)} units`;
  return make("li", "", make("b", `Worker ${number}`), bar, make("span", said));
}
