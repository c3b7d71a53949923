// Shows an answer: the class, the probability of each class, and what the network sees.

import { make } from "./make.js";

const SURE = 0.99;
const UNSURE = 0.9;
const percent = (share) => `${(100 * share).toFixed(1)} %`;

// The model's confidence, in words.
function sureness(probabilities, best, names) {
  const share = probabilities[best];
  if (share >= SURE) return percent(share);
  const second = probabilities.indexOf(Math.max(...probabilities.filter((_, each) => each !== best)));
  const other = `${names[second]}: ${percent(probabilities[second])}`;
  return `${share >= UNSURE ? "probably" : "unsure"}: ${percent(share)}, or ${other}`;
}

// The names of a model's classes, or else their numbers.
export function namesOf(model, classes) {
  return model?.class_names ?? Array.from({ length: classes }, (_, each) => String(each));
}

export class Answer {
  #said = document.getElementById("answer");
  #spoken = document.getElementById("spoken");
  #seen = document.getElementById("seen");
  #list = document.getElementById("classes");
  #done = document.getElementById("done");
  #names = [];
  #rows = [];

  constructor(names) {
    this.#make(names);
  }

  // found, more: see Recogniser; ended: no stroke is being drawn, so a screen reader may read the answer
  show(found, more, ended) {
    this.#said.setAttribute("aria-busy", more);
    if (found?.probabilities) this.#show(found);
    else if (!more) this.#clear(found.error ?? "Draw a digit, or open a picture of one.");
    if (ended && !more) this.#spoken.textContent = this.#said.textContent;
  }

  #show({ class: best, probabilities, seen, done, model }) {
    const names = namesOf(model, probabilities.length);
    if (names.join("\n") !== this.#names.join("\n")) this.#make(names);
    this.#rows.forEach(({ row, bar, number }, each) => {
      row.classList.toggle("best", each === best);
      bar.value = probabilities[each];
      number.textContent = percent(probabilities[each]);
    });
    const by = model.step === null ? "" : ` (model of step ${model.step.toLocaleString("en")})`;
    this.#said.replaceChildren(make("strong", names[best]), ` ${sureness(probabilities, best, names)}${by}`);
    this.#done.textContent = done?.length ? `: ${done.join(", ")}` : "";
    this.#paint(seen);
    this.#seen.setAttribute("aria-label", `What the network sees: ${seen[0].length} by ${seen.length} pixels`);
  }

  #clear(said) {
    this.#said.textContent = said;
    this.#done.textContent = "";
    for (const { row, bar, number } of this.#rows) {
      row.classList.remove("best");
      bar.value = 0;
      number.textContent = "";
    }
    this.#seen.getContext("2d").clearRect(0, 0, this.#seen.width, this.#seen.height);
    this.#seen.setAttribute("aria-label", "What the network sees: nothing yet");
  }

  #paint(rows) {
    const [height, width] = [rows.length, rows[0].length];
    Object.assign(this.#seen, { width, height });
    const pixels = rows.flat().flatMap((ink) => [ink, ink, ink, 255]);
    this.#seen.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels), width, height), 0, 0);
  }

  #make(names) {
    this.#names = names;
    this.#rows = names.map((each) => {
      const [bar, number] = [make("progress"), make("span")];
      bar.max = 1;
      bar.value = 0;
      bar.setAttribute("aria-label", `probability of ${each}`);
      return { row: make("li", "", make("b", each), bar, number), bar, number };
    });
    this.#list.replaceChildren(...this.#rows.map(({ row }) => row));
  }
}
