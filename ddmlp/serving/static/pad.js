// Paper that is drawn on with mouse, pen or finger.

const PEN = 22; // of the paper's 280: of a digit that fills most of it, about the two pixels of MNIST's strokes

export class Pad {
  #canvas;
  #changed;
  #strokes = []; // each a list of points [x, y], in the canvas's own units
  #drawing = new Map(); // pointer id to its stroke: several fingers may draw at once

  // changed(ended): the drawing is another; ended: no stroke is under way
  constructor(canvas, changed) {
    this.#canvas = canvas;
    this.#changed = changed;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.#end(event));
    }
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

  // The drawing as a PNG file: ink on nothing.
  picture() {
    return new Promise((resolve) => this.#canvas.toBlob(resolve, "image/png"));
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

  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    const { width, height } = this.#canvas;
    return [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
  }

  #draw() {
    const context = this.#canvas.getContext("2d");
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    context.strokeStyle = getComputedStyle(this.#canvas).color;
    context.lineWidth = PEN;
    context.lineCap = context.lineJoin = "round";
    for (const [[x, y], ...others] of this.#strokes) {
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(x + 0.1, y); // a line without a length is not drawn, and a dot is a stroke, too
      for (const point of others) context.lineTo(...point);
      context.stroke();
    }
  }
}
