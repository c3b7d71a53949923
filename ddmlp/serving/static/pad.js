// The drawing area, for mouse, pen, finger and keyboard.

const PEN = 22; // of 280: for a digit that fills most of the area, about two pixels wide, as strokes in MNIST
const KEY_STEP = 10; // how far an arrow key moves the pen
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pad {
  #canvas;
  #changed;
  #strokes = []; // each a list of points [x, y], in units of the canvas
  #drawing = new Map(); // strokes in progress by pointer id, or "keys": several fingers may draw at once
  #pen; // position of the keyboard's pen

  // changed(ended) is called when the drawing changes; ended: no stroke is in progress
  constructor(canvas, changed) {
    this.#canvas = canvas;
    this.#changed = changed;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.#end(event));
    }
    this.#pen = [canvas.width / 2, canvas.height / 2];
    canvas.addEventListener("keydown", (event) => this.#key(event));
    for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => this.#lift());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  get blank() {
    return this.#strokes.length === 0;
  }

  clear() {
    this.#take([]);
  }

  undo() {
    this.#take(this.#strokes.slice(0, -1));
  }

  // The drawing as a PNG file, with a transparent background.
  picture() {
    const copy = document.createElement("canvas"); // without the keyboard's pen
    Object.assign(copy, { width: this.#canvas.width, height: this.#canvas.height });
    this.#drawStrokes(copy.getContext("2d"));
    return new Promise((resolve) => copy.toBlob(resolve, "image/png"));
  }

  #take(strokes) {
    this.#strokes = strokes;
    this.#drawing.clear();
    this.#draw();
    this.#changed(true);
  }

  #begin(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.#canvas.setPointerCapture(event.pointerId);
    const stroke = [this.#point(event)];
    this.#drawing.set(event.pointerId, stroke);
    this.#strokes.push(stroke);
    this.#draw();
    this.#changed(false);
  }

  #move(event) {
    const stroke = this.#drawing.get(event.pointerId);
    if (!stroke) return;
    const between = event.getCoalescedEvents?.() ?? [];
    stroke.push(...(between.length ? between : [event]).map((each) => this.#point(each)));
    this.#draw();
    this.#changed(false);
  }

  #end(event) {
    if (this.#drawing.delete(event.pointerId)) this.#changed(this.#drawing.size === 0);
  }

  // Arrow keys move the pen, Space lowers or lifts it, Backspace removes the last stroke.
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const way = ARROWS[event.key];
    if (way) this.#movePen(way);
    else if (event.key === " ") this.#drawing.has("keys") ? this.#lift() : this.#putDown();
    else if (event.key === "Backspace") this.undo();
    else return;
    event.preventDefault();
  }

  #movePen(way) {
    const most = [this.#canvas.width, this.#canvas.height];
    this.#pen = this.#pen.map((at, axis) => Math.min(Math.max(at + KEY_STEP * way[axis], 0), most[axis]));
    const stroke = this.#drawing.get("keys");
    stroke?.push(this.#pen);
    this.#draw();
    if (stroke) this.#changed(false);
  }

  #putDown() {
    const stroke = [this.#pen];
    this.#drawing.set("keys", stroke);
    this.#strokes.push(stroke);
    this.#draw();
    this.#changed(false);
  }

  #lift() {
    const drew = this.#drawing.delete("keys");
    this.#draw();
    if (drew) this.#changed(this.#drawing.size === 0);
  }

  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    const { width, height } = this.#canvas;
    return [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
  }

  #draw() {
    const context = this.#canvas.getContext("2d");
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    this.#drawStrokes(context);
    if (this.#canvas.matches(":focus-visible")) this.#drawPen(context);
  }

  #drawStrokes(context) {
    context.strokeStyle = getComputedStyle(this.#canvas).color;
    context.lineWidth = PEN;
    context.lineCap = context.lineJoin = "round";
    for (const [[x, y], ...others] of this.#strokes) {
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(x + 0.1, y); // a line of length 0 would not be drawn, but a dot is a stroke, too
      for (const point of others) context.lineTo(...point);
      context.stroke();
    }
  }

  // A ring; filled while the pen is down.
  #drawPen(context) {
    context.beginPath();
    context.arc(...this.#pen, PEN / 2, 0, 2 * Math.PI);
    context.lineWidth = 2;
    context.strokeStyle = context.fillStyle = getComputedStyle(this.#canvas).outlineColor;
    context.stroke();
    if (this.#drawing.has("keys")) context.fill();
  }
}
