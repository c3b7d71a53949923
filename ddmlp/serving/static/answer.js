// What the page shows of an answer: the class, the probability of each, and what the network saw.

import { make } from "./make.js";

const SURE = 0.99;
const UNSURE = 0.9;
const percent = (share) => `${(100 * share).toFixed(1)} %`;

// How sure the model is, in words: of its own probabilities.
function sureness(probabilities, best) {
  const share = probabilities[best];
  if (share >= SURE) return percent(share);
  const second = probabilities.indexOf(Math.max(...probabilities.filter((_, each) => each !== best)));
  const other = `${second}: ${percent(probabilities[second])}`;
  return `${share >= UNSURE ? "probably" : "unsure"}: ${percent(share)}, or ${other}`;
}

export class Answer {
  #said = document.getElementById("answer");
  #spoken = document.getElementById("spoken");
  #seen = document.getElementById("seen");
  #list = document.getElementById("classes");
  #rows = [];

  constructor(classes) {
    this.#make(classes);
  }

  // found, more: see Recogniser; ended: nothing is being drawn, so it may be read out
  show(found, more, ended) {
    this.#said.setAttribute("aria-busy", more);
    if (found?.probabilities) this.#show(found);
    else if (!more) this.#clear(found.error ?? "Draw, and see it recognised.");
    if (ended && !more) this.#spoken.textContent = this.#said.textContent;
  }

  #show({ class: best, probabilities, seen, model }) {
    if (probabilities.length !== this.#rows.length) this.#make(probabilities.length);
    this.#rows.forEach(({ row, bar, number }, each) => {
      row.classList.toggle("best", each === best);
      bar.value = probabilities[each];
      number.textContent = percent(probabilities[each]);
    });
    const by = model.step === null ? "" : `, says the version of step ${model.step.toLocaleString("en")}`;
    this.#said.replaceChildren(make("strong", best), ` ${sureness(probabilities, best)}${by}`);
    this.#paint(seen);
    this.#seen.setAttribute("aria-label", `What the network saw: ${seen[0].length} by ${seen.length} pixels`);
  }

  #clear(said) {
    this.#said.textContent = said;
    for (const { row, bar, number } of this.#rows) {
      row.classList.remove("best");
      bar.value = 0;
      number.textContent = "";
    }
    this.#seen.getContext("2d").clearRect(0, 0, this.#seen.width, this.#seen.height);
    this.#seen.setAttribute("aria-label", "What the network saw: nothing yet");
  }

  #paint(rows) {
    const [height, width] = [rows.length, rows[0].length];
    Object.assign(this.#seen, { width, height });
    const pixels = rows.flat().flatMap((ink) => [ink, ink, ink, 255]);
    this.#seen.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels), width, height), 0, 0);
  }

  #make(classes) {
    this.#rows = Array.from({ length: classes }, (_, each) => {
      const [bar, number] = [make("progress"), make("span")];
      bar.max = 1;
      bar.value = 0;
      bar.setAttribute("aria-label", `probability of ${each}`);
      return { row: make("li", "", make("b", each), bar, number), bar, number };
    });
    this.#list.replaceChildren(...this.#rows.map(({ row }) => row));
  }
}
