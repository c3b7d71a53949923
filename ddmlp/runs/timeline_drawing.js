// Draws a stretch of a trace: its lanes, its events, and the queue of units.

const COLOURS = {
  computed: "#0072b2", read: "#56b4e9", added: "#009e73", applied: "#d55e00", steps: "#0072b2", test: "#e69f00",
  checkpoint: "#cc79a7", taken: "#8a8a8a", sent: "#b5a642", missed: "rgb(138 138 138 / 0.3)",
}; // prettier-ignore
const SIGNS = { joined: "▲", death: "✕", overtaken: "●", start: "■", restart: "■" };
const KEY = {
  computed: "computes a gradient", read: "reads rows", added: "adds a gradient", applied: "applies a step",
  steps: "makes steps", test: "tests", checkpoint: "writes a checkpoint", taken: "a unit on its way, or waiting",
  sent: "an answer on its way, or waiting", joined: "a worker joins", death: "a worker is lost",
  overtaken: "another worker gets its unit, too", start: "the server begins", restart: "the server begins again",
  missed: "events that the page has missed",
}; // prettier-ignore
const [TOP, LANE, LABEL, BAR, MESSAGES, QUEUE] = [22, 42, 14, 17, 5, 46]; // heights in pixels

// What is at a height: the number of a lane, and whether the messages of its worker.
export function placeAt(height) {
  const lane = Math.floor((height - TOP) / LANE);
  return [lane, height - TOP - lane * LANE > LABEL + BAR + 1];
}

// The slices, in order, that overlap a stretch of time. Those of two tracks of messages may be out of order by two.
export function visible(slices, from, to) {
  let [low, high] = [0, slices.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (slices[middle][1] < from) low = middle + 1;
    else high = middle;
  }
  const found = [];
  for (let place = Math.max(0, low - 2); place < slices.length && slices[Math.max(0, place - 2)][0] <= to; place += 1) {
    if (slices[place][1] >= from && slices[place][0] <= to) found.push(slices[place]);
  }
  return found;
}

// A duration of microseconds, in words.
export function time(span) {
  if (span >= 1e6) return `${(span / 1e6).toFixed(2)} s`;
  return span >= 1e3 ? `${(span / 1e3).toFixed(2)} ms` : `${Math.round(span)} µs`;
}

// trace: {lanes, holes, depths, moments, zero, last}; from, to: the stretch. Returns the names of what is in it.
export function draw(canvas, trace, from, to) {
  const { lanes, holes, depths, moments, zero } = trace;
  const width = canvas.parentElement.clientWidth;
  const height = TOP + lanes.length * LANE + (depths.length ? QUEUE : 0);
  const scale = devicePixelRatio || 1;
  Object.assign(canvas, { width: width * scale, height: height * scale });
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  const paper = new Paper(canvas.getContext("2d"), width, from, to, getComputedStyle(canvas).color, scale);
  const [step, digits] = ticks(to - from, width);
  for (let tick = Math.ceil((from - zero) / step) * step; zero + tick < to; tick += step) {
    const left = paper.x(zero + tick);
    paper.line(left, TOP - 6, height);
    if (left > 24 && left < width - 30) paper.write(`${(tick / 1e6).toFixed(digits)} s`, left, 12, "center");
  }
  const missed = paper.bars(visible(holes, from, to), TOP, height - TOP);
  lanes.forEach(([number, lane], place) => {
    const top = TOP + place * LANE;
    const busy = paper.bars(visible(lane.slices, from, to), top + LABEL, BAR);
    paper.bars(visible(lane.messages, from, to), top + LABEL + BAR + 1, MESSAGES);
    paper.write(lane.name, 2, top + LABEL - 3);
    paper.write(`${Math.round((100 * busy) / Math.max(1 - missed, busy, 0.01))} % busy`, width - 2, top + LABEL - 3, "right");
    for (const { ts, tid, name } of moments) {
      if (tid === number && ts >= from && ts <= to) paper.sign(name, ts, top);
    }
  });
  if (depths.length) drawQueue(paper, trace, height);
  return paper.names;
}

class Paper {
  names = new Set(); // of what was drawn
  #paper;
  #ink;

  constructor(paper, width, from, to, ink, scale) {
    [this.#paper, this.#ink] = [paper, ink];
    Object.assign(this, { width, from, to });
    paper.scale(scale, scale);
    paper.font = "12px system-ui, sans-serif";
  }

  x(moment) {
    return Math.min(Math.max(((moment - this.from) / (this.to - this.from)) * this.width, 0), this.width);
  }

  write(text, left, bottom, align = "left") {
    Object.assign(this.#paper, { fillStyle: this.#ink, textAlign: align });
    this.#paper.fillText(text, left, bottom);
  }

  line(left, top, size) {
    Object.assign(this.#paper, { fillStyle: this.#ink, globalAlpha: 0.15 });
    this.#paper.fillRect(left, top, 1, size);
    this.#paper.globalAlpha = 1;
  }

  bar(colour, begin, end, top, size) {
    const left = this.x(begin);
    this.#paper.fillStyle = colour;
    this.#paper.fillRect(left, top, Math.max(this.x(end) - left, 0.3), size);
  }

  // Returns the part of the width that they take.
  bars(slices, top, size) {
    let busy = 0;
    for (const [begin, end, name] of slices) {
      this.bar(COLOURS[name] ?? this.#ink, begin, end, top, size);
      busy += this.x(end) - this.x(begin);
      this.names.add(name);
    }
    return busy / this.width;
  }

  sign(name, moment, top) {
    this.line(this.x(moment), top, LANE);
    this.write(SIGNS[name] ?? "?", this.x(moment), top + LABEL + BAR - 4, "center");
    this.names.add(name);
  }
}

// Draws how many units wait in the queue, on top of those that workers hold.
function drawQueue(paper, { depths, last }, height) {
  const spans = depths.map(([at, ...counts], place) => [at, depths[place + 1]?.[0] ?? last, counts]);
  const near = visible(spans, paper.from, paper.to);
  const most = near.reduce((found, [, , [waiting, held]]) => Math.max(found, waiting + held), 1);
  const unit = (QUEUE - 18) / most;
  for (const [begin, end, [waiting, held]] of near) {
    paper.bar(COLOURS.computed, begin, end, height - held * unit, held * unit);
    paper.bar(COLOURS.applied, begin, end, height - (held + waiting) * unit, waiting * unit);
  }
  paper.write(`units: waiting (orange), with workers (blue); most ${most}`, 2, height - QUEUE + 13);
}

// The key to these names, as elements.
export function key(names) {
  return Object.keys(KEY).filter((name) => names.has(name)).map((name) => {
    const [part, mark] = [document.createElement("span"), document.createElement("span")];
    mark.textContent = `${SIGNS[name] ?? "■"} `;
    mark.style.color = COLOURS[name] ?? "";
    part.append(mark, `${KEY[name]}. `);
    return part;
  }); // prettier-ignore
}

// The distance of round times on the axis, and their digits after the point, in seconds.
function ticks(span, width) {
  const rough = (span * 95) / width;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough * 0.999);
  return [step, Math.max(0, Math.min(6, 6 - Math.floor(Math.log10(step) + 1e-9)))];
}
