// Shows what an answer depends on: its pixels, and the hidden units for it and against it. Closed until it is opened.

import { namesOf } from "./answer.js";
import { make } from "./make.js";

const [LARGE, SMALL] = [336, 112]; // of pictures, at most, if they have no more pixels
const INK = 128; // of 255: what counts as ink
const signed = (number) => `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(2)}`;

export class Why {
  #box = document.getElementById("why");
  #score = document.getElementById("score");
  #saliency = document.getElementById("saliency");
  #lists = { supporting: document.getElementById("for"), opposing: document.getElementById("against") };
  #found = null;

  // model: null if it is not known yet; opened() is called when an explanation is wanted
  constructor(model, opened) {
    this.#offer(model);
    this.#clear();
    this.#box.addEventListener("toggle", () => this.#box.open && opened());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#found && this.#show(this.#found));
  }

  get wanted() {
    return this.#box.open && !this.#box.hidden;
  }

  // found, more: see Recogniser
  show(found, more) {
    if (found?.model) this.#offer(found.model);
    if (found?.explanation) this.#show(found);
    else if (!more) this.#clear();
  }

  #offer(model) {
    this.#box.hidden = !model?.explains;
  }

  #clear() {
    this.#found = null;
    this.#score.textContent = "Draw a digit to see what its answer depends on.";
    paint(this.#saliency, [[0]], 1);
    this.#saliency.setAttribute("aria-label", "Which pixels: nothing yet");
    for (const list of Object.values(this.#lists)) list.replaceChildren();
  }

  #show(found) {
    const { class: best, probabilities, seen, explanation, model } = (this.#found = found);
    const name = namesOf(model, probabilities.length)[best];
    this.#score.textContent =
      `The score of ${name}, before the softmax makes it a probability, is the sum of what all hidden units contribute.`;
    paint(this.#saliency, explanation.saliency, LARGE, seen);
    this.#saliency.setAttribute("aria-label", `Which pixels: ${described(explanation.saliency)}`);
    for (const [which, list] of Object.entries(this.#lists)) {
      list.replaceChildren(...explanation[which].map(unit));
      if (!explanation[which].length) list.append(make("li", "none"));
    }
  }
}

function unit({ unit: number, activation, contribution, weights }) {
  const canvas = make("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Weights of hidden unit ${number}: ${described(weights)}`);
  paint(canvas, weights, SMALL);
  return make("li", "", canvas, make("strong", signed(contribution)), `unit\u00a0${number} y1\u00a0=\u00a0${activation.toFixed(2)}`);
}

// The places of the largest and the lowest number, in words.
function described(rows) {
  const all = rows.flat();
  const place = (at) => `in row ${Math.floor(at / rows[0].length) + 1}, column ${(at % rows[0].length) + 1}`;
  const [highest, lowest] = [Math.max(...all), Math.min(...all)];
  const parts = [];
  if (highest > 0) parts.push(`ink counts most for it ${place(all.indexOf(highest))}`);
  if (lowest < 0) parts.push(`most against it ${place(all.indexOf(lowest))}`);
  return parts.join(", ") || "none counts";
}

// Paints rows of numbers: the hue is the sign, the strength the size. size: of the longer side, in pixels of the
// screen; seen: the picture, whose ink is marked.
function paint(canvas, rows, size, seen) {
  const [height, width] = [rows.length, rows[0].length];
  const cell = Math.max(1, Math.floor(size / Math.max(height, width)));
  Object.assign(canvas, { width: width * cell, height: height * cell });
  const style = getComputedStyle(document.documentElement);
  const [against, for_, ink] = ["--curve-0", "--curve-1", "--ink"].map((name) => style.getPropertyValue(name));
  const context = canvas.getContext("2d");
  const most = rows.flat().reduce((largest, each) => Math.max(largest, Math.abs(each)), 0) || 1;
  rows.forEach((row, y) => row.forEach((number, x) => {
    context.fillStyle = number < 0 ? against : for_;
    context.globalAlpha = Math.abs(number) / most;
    context.fillRect(x * cell, y * cell, cell, cell);
    if (!(seen?.[y][x] >= INK) || cell < 3) return;
    context.globalAlpha = 1;
    context.strokeStyle = ink;
    context.strokeRect(x * cell + 1.5, y * cell + 1.5, cell - 3, cell - 3);
  }));
}
