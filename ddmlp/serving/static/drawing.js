// Draws the scenes of a run as SVG: boxes that stay, and units that move between them.

import { element } from "./make.js";
import { pointOf, stageOf } from "./stage.js";

const PACE = 7; // of a moving unit: it makes all but 1/e of its way in 1/PACE seconds
const shortest = (text) => (text.length > 4 ? text.slice(0, 4) : text);

export class Drawing {
  #svg;
  #stage = null;
  #form = ""; // of the stage, to see whether it must be built again
  #boxes = {}; // by name: {box, texts}
  #layer = null;
  #units = new Map(); // drawn, by unit: {group, shape, fill, x, y, to}

  constructor(svg) {
    this.#svg = svg;
  }

  // scene: {units, workers: [{lane, name, lines, state}], plan, queue, server, fresh: whether new weights are sent, local};
  // plan, queue, server: lines of text. snap: without movement.
  show(scene, wide, snap) {
    const form = `${wide} ${scene.workers.length} ${scene.local}`;
    if (form !== this.#form) this.#build(scene.workers.length, wide, scene.local);
    this.#form = form;
    this.#say("plan", ["Plan", ...scene.plan]);
    if (!scene.local) this.#say("queue", ["Queue", ...scene.queue]);
    for (const [each, { name, lines, state }] of scene.workers.entries()) {
      this.#say(`worker ${each}`, [name, ...lines], `worker ${state}`);
    }
    if (!scene.local) this.#say("server", ["Server", ...scene.server], scene.fresh ? "server fresh" : "server");
    this.#back?.classList.toggle("fresh", Boolean(scene.fresh));
    this.#place(scene, snap);
  }

  get #back() {
    return this.#svg.querySelector(".back");
  }

  // Moves the units towards their places.
  move(seconds) {
    const share = 1 - Math.exp(-PACE * seconds);
    for (const drawn of this.#units.values()) {
      drawn.x += (drawn.to[0] - drawn.x) * share;
      drawn.y += (drawn.to[1] - drawn.y) * share;
      drawn.group.setAttribute("transform", `translate(${drawn.x.toFixed(1)} ${drawn.y.toFixed(1)})`);
    }
  }

  // How much of a unit is computed, from 0 to 1.
  fill(unit, share) {
    const { unit: side } = this.#stage;
    const height = side * share;
    const fill = this.#units.get(unit)?.fill;
    fill?.setAttribute("height", height.toFixed(1));
    fill?.setAttribute("y", (side / 2 - height).toFixed(1));
  }

  #build(count, wide, local) {
    const stage = (this.#stage = stageOf(count, wide, local));
    this.#units.clear();
    this.#boxes = {};
    this.#layer = element("g", {});
    this.#svg.setAttribute("viewBox", `0 0 ${stage.width} ${stage.height}`);
    this.#svg.setAttribute("class", wide ? "wide" : "tall");
    const named = stage.workers.map((box, each) => [`worker ${each}`, box]);
    const boxes = local
      ? [["plan", stage.plan], ...named]
      : [["plan", stage.plan], ["queue", stage.queue], ...named, ["server", stage.server]];
    const head = element("marker", { id: "head", viewBox: "0 0 10 10", refX: 8, refY: 5, markerWidth: 12, markerHeight: 12, markerUnits: "userSpaceOnUse", orient: "auto" });
    head.append(element("path", { d: "M0 0 L10 5 L0 10 Z" }));
    this.#svg.replaceChildren(
      head,
      ...stage.arrows.map((d) => element("path", { class: "arrow", d })),
      ...(local ? [] : [element("path", { class: "arrow back", d: stage.back })]),
      ...(local || !stage.label ? [] : [element("text", { class: "note", ...stage.label, "text-anchor": "middle" }, "weights")]),
    );
    for (const [name, { x, y, width, height }] of boxes) {
      const box = element("g", { class: name.split(" ")[0], transform: `translate(${x} ${y})` });
      const most = Math.min(4, Math.floor((height - 8) / (wide ? 25 : 19)));
      const lines = Array.from({ length: most }, (_, each) => element("text", { class: each ? "note" : "title", x: 12, y: (wide ? 30 : 23) + each * (wide ? 25 : 19) }));
      const cross = element("path", { class: "cross", d: `M8 8 L${width - 8} ${height - 8} M${width - 8} 8 L8 ${height - 8}` });
      box.append(element("rect", { width, height, rx: 10 }), ...lines, cross);
      this.#svg.append(box);
      this.#boxes[name] = { box, lines, most };
    }
    this.#svg.append(this.#layer);
  }

  #say(name, lines, kind = name) {
    const found = this.#boxes[name];
    if (!found) return;
    found.box.setAttribute("class", kind);
    const last = found.most - 1;
    const shown = [...lines.slice(0, last), lines.slice(last).filter(Boolean).join(", ")];
    for (const [each, text] of found.lines.entries()) text.textContent = shown[each] ?? "";
  }

  #place({ units, workers }, snap) {
    const lanes = workers.map(({ lane }) => lane);
    const here = units.filter(({ at, lane }) => at === "queue" || at === "server" || lanes.includes(lane));
    const now = new Set(here.map(({ unit }) => unit));
    for (const [unit, { group }] of this.#units) {
      if (now.has(unit)) continue;
      group.remove();
      this.#units.delete(unit);
    }
    for (const each of here) {
      const drawn = this.#units.get(each.unit) ?? this.#begin(each, lanes);
      drawn.to = pointOf(this.#stage, each, lanes);
      if (snap) [drawn.x, drawn.y] = drawn.to;
      drawn.group.setAttribute("class", `unit ${each.unit.step % 2 ? "odd" : "even"} at-${each.at}${each.ghost ? " ghost" : ""}${each.whole ? " whole" : ""}`);
      drawn.shape.setAttribute("rx", each.whole ? this.#stage.unit / 2 : 6);
      if (each.whole || each.at === "queue") this.fill(each.unit, 0);
    }
    if (snap) this.move(0);
  }

  #begin({ unit, from }, lanes) {
    const half = this.#stage.unit / 2;
    const shape = element("rect", { class: "shape", x: -half, y: -half, width: 2 * half, height: 2 * half });
    const fill = element("rect", { class: "fill", x: -half, y: half, width: 2 * half, height: 0, rx: 6 });
    const name = unit.count > 1 ? `${unit.first}–${unit.first + unit.count - 1}` : `${unit.first}`;
    const group = element("g", {});
    group.append(shape, fill, element("text", { y: 6, "text-anchor": "middle", class: name.length > 2 ? "long" : "" }, shortest(name)));
    this.#layer.append(group);
    const start = from ? { at: "work", lane: from } : { at: "plan" };
    const [x, y] = pointOf(this.#stage, start, lanes);
    const drawn = { group, shape, fill, x, y, to: [x, y] };
    this.#units.set(unit, drawn);
    return drawn;
  }
}
