// The page: the drawing area, the answer, and the training, if a run is served.

import { Answer, namesOf } from "./answer.js";
import { Pad } from "./pad.js";
import { Recogniser } from "./recogniser.js";
import { watch } from "./run.js";
import { Why } from "./why.js";

const at = (id) => document.getElementById(id);

function introduce({ name, live, model }) {
  at("name").textContent = `ddmlp: ${name}`;
  document.title = `ddmlp: ${name}`;
  if (live) return (at("model").textContent = "The newest checkpoint of this run answers.");
  const [height, width] = model.image_shape;
  at("model").textContent =
    `A model with ${model.classes} classes, for images of ${height} × ${width} pixels; weights sha256 ` +
    `${model.weights_sha256.slice(0, 16)}…`;
}

async function start() {
  const about = await (await fetch("about")).json();
  if (about.error) return (at("model").textContent = about.error);
  introduce(about);
  let ended = true;
  const answer = new Answer(namesOf(about.model, about.model?.classes ?? 10));
  const why = new Why(about.model, () => recogniser.again());
  const told = (found, more) => {
    answer.show(found, more, ended);
    why.show(found, more);
  };
  const recogniser = new Recogniser(told, () => why.wanted);
  const picture = async () => (pad.blank ? null : pad.picture());
  const pad = new Pad(at("pad"), (over) => {
    ended = over;
    recogniser.ask(picture);
  });
  at("clear").addEventListener("click", () => pad.clear());
  at("undo").addEventListener("click", () => pad.undo());
  at("file").addEventListener("change", ({ target }) => {
    const [file] = target.files;
    pad.clear();
    if (file) recogniser.ask(async () => file);
    target.value = "";
  });
  if (!about.live) return;
  at("run").hidden = false;
  watch(() => pad.blank || recogniser.ask(picture));
}

start();
