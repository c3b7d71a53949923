// The picture of a run: its plan, queue, workers and server. With a trace, units move between them, slowed down; without
// one, it shows the newest figures.

import { Clips, eventAt, shareAt } from "./clip.js";
import { Drawing } from "./drawing.js";
import { History } from "./history.js";
import { plural, whole } from "./numbers.js";
import { sceneAt } from "./scene.js";
import { stillOf } from "./still.js";
import { MOST } from "./stage.js";
import { begins, follow } from "./trace.js";

const WIDE = 640; // pixels, from which on the boxes are side by side
const CALM_SECONDS = 1.5; // between pictures, for those who want no movement
const STATES = { works: "", late: "overdue", dead: "gone" };

export class Picture {
  #figure;
  #drawing;
  #history;
  #clips;
  #clip = null;
  #index = -1; // of the event that is shown
  #scene = null;
  #seconds = 0; // of the clip that have passed
  #waited = 0; // since the picture was drawn
  #last = 0;
  #told = null;
  #paused = false;
  #sought = location.hash === "#picture"; // which could not be scrolled to before the run began
  #calm = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(figure) {
    this.#figure = figure;
    this.#drawing = new Drawing(this.#at("svg"));
    const [pause, full] = [this.#at(".pause"), this.#at(".full")];
    pause.addEventListener("click", () => {
      this.#paused = !this.#paused;
      pause.textContent = this.#paused ? "Play" : "Pause";
    });
    full.hidden = !document.fullscreenEnabled;
    full.addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : figure.requestFullscreen()));
    new ResizeObserver(() => this.#draw(true)).observe(figure);
    this.#clear();
    follow((events, cut) => {
      if (begins(events)) this.#clear();
      this.#history.take(events, cut);
    });
    requestAnimationFrame((now) => this.#tick(now));
  }

  // told: what the page knows of the run; see run.js.
  show(told) {
    this.#told = told;
    if (told.state?.begun === false) this.#clear(); // the run was removed
    if (!this.#clip) this.#draw(true);
  }

  #clear() {
    this.#history = new History();
    this.#clips = new Clips(this.#history);
    this.#clip = null;
  }

  #at(what) {
    return this.#figure.querySelector(what);
  }

  #tick(now) {
    const passed = Math.min(0.1, (now - this.#last) / 1000);
    this.#last = now;
    requestAnimationFrame((next) => this.#tick(next));
    if (this.#paused || this.#figure.hidden) return;
    this.#waited += passed;
    if (this.#calm.matches && this.#waited < CALM_SECONDS) return;
    this.#seconds += this.#waited;
    this.#waited = 0;
    this.#play();
    if (this.#clip && !this.#calm.matches) this.#drawing.move(passed);
  }

  #play() {
    if (!this.#clip || this.#seconds >= this.#clip.seconds) {
      const next = this.#clips.next(Boolean(this.#told?.state?.result));
      if (!next) return;
      [this.#clip, this.#index, this.#seconds] = [next, -1, 0];
    }
    const index = eventAt(this.#clip, this.#seconds);
    if (index !== this.#index) {
      this.#index = index;
      this.#scene = sceneAt(this.#clip, index);
      this.#draw(this.#calm.matches);
    }
    for (const { unit, at, begun, until } of this.#scene.units) {
      if (at === "work") this.#drawing.fill(unit, shareAt(this.#clip, begun, until, this.#seconds));
    }
  }

  #draw(snap) {
    const clip = this.#clip;
    const scene = clip ? moving(this.#scene) : stillOf(this.#told, MOST);
    this.#figure.hidden = !scene;
    if (!scene) return;
    if (this.#sought && !scrollY) this.#figure.scrollIntoView();
    this.#sought = false;
    this.#drawing.show(scene, this.#figure.clientWidth >= WIDE, snap);
    this.#at("svg").setAttribute("aria-label", described(scene));
    this.#at(".said").textContent = scene.said;
    this.#at(".said").dataset.moment = scene.moment ?? "";
    this.#at(".how").textContent = clip ? this.#how(clip, this.#scene.workers.length) : scene.how;
    this.#at(".pause").hidden = !clip;
  }

  #how({ factor, steps }, workers) {
    const share = Math.max(1, Math.round(this.#history.count / this.#clips.shown));
    const [first, last] = [steps[0].step, steps.at(-1).step];
    const rest = workers > MOST ? ` ${MOST} of ${whole(workers)} workers are drawn.` : "";
    return (
      `Real units of steps ${whole(first)} to ${whole(last)}: 1 of ${plural(share, "unit")} is shown, slowed down about ` +
      `${whole(Number(factor.toPrecision(2)))} times; long waits are cut.${rest} A square is a unit, with the numbers of ` +
      "its microbatches; a circle is its gradient; a colour is a step."
    );
  }
}

// The texts of a scene of a clip.
function moving({ units, workers, server, said, moment }) {
  const waiting = units.filter(({ at }) => at === "queue").length;
  const first = [...workers].sort((a, b) => (a.state === "works") - (b.state === "works")).slice(0, MOST);
  const drawn = workers.filter((each) => first.includes(each));
  const doing = { test: "tests the weights", checkpoint: "writes a checkpoint", applied: "applies the step" };
  return {
    units, said, moment, local: false, fresh: server.fresh,
    workers: drawn.map(({ lane, worker, state, busy }) => ({
      lane, state, name: `Worker ${worker}`, lines: [STATES[state] || (busy ? "computes" : "waits")],
    })),
    plan: [`step ${whole(server.step)}`, plural(server.of, "unit")],
    queue: [waiting ? `${plural(waiting, "unit")} waiting` : "empty"],
    server: [`version ${whole(server.version)}`, doing[server.does] ?? `${server.added} of ${server.of} gradients`],
  };
}

function described({ workers, queue, server, local }) {
  const each = workers.map(({ name, lines }) => `${name}: ${lines.join(", ")}`).join("; ");
  return local ? each : `Queue: ${queue.join(", ")}. ${each}. Server: ${server.join(", ")}.`;
}
