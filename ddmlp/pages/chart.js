// Curves over the rows seen, as SVG.

const SVG = "http://www.w3.org/2000/svg";
const ROOM = { left: 52, right: 14, top: 10, bottom: 36 };
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

const element = (name, attributes, text = "") => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
};

// Round numbers from low to high, about so many.
export function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, each) => (first + each) * step);
}

// 1, 2 and 5 times the powers of ten from low to high; the powers alone where those are many.
function decades(low, high) {
  const powers = ticks(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)), 99).filter(Number.isInteger);
  const all = powers.flatMap((power) => [1, 2, 5].map((each) => each * 10 ** power));
  const within = all.filter((each) => each >= low * 0.999 && each <= high * 1.001);
  return within.length > 6 ? powers.map((power) => 10 ** power).filter((each) => each >= low && each <= high) : within;
}

// curves: [{points: [[x, y], ...], colour: 0 or 1, form: "line", "dots" or "limit"}]; log: whether y is logarithmic
export function draw(svg, curves, { unit, log }) {
  const shown = curves.map((curve) => ({ ...curve, points: curve.points.filter(([, y]) => y !== null && (!log || y > 0)) }));
  const points = shown.flatMap((curve) => curve.points);
  svg.replaceChildren();
  if (!points.length) return;
  const [width, height] = [svg.clientWidth || 400, svg.clientHeight || 220];
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);

  const ys = points.map(([, y]) => y);
  const most = ys.reduce((a, b) => Math.max(a, b)) || 1;
  const least = log ? ys.reduce((a, b) => Math.min(a, b)) : 0;
  const [bottom, top] = log ? [Math.log10(least) - 0.05, Math.log10(most) + 0.05] : [0, most * 1.05];
  const last = points.reduce((a, [x]) => Math.max(a, x), 1);
  const x = (value) => ROOM.left + (value / last) * (width - ROOM.left - ROOM.right);
  const share = (value) => ((log ? Math.log10(value) : value) - bottom) / (top - bottom);
  const y = (value) => height - ROOM.bottom - share(value) * (height - ROOM.bottom - ROOM.top);

  for (const tick of log ? decades(least, most) : ticks(0, most, 4)) {
    svg.append(
      element("line", { class: "scale", x1: ROOM.left, x2: width - ROOM.right, y1: y(tick), y2: y(tick) }),
      element("text", { x: ROOM.left - 6, y: y(tick) + 4, "text-anchor": "end" }, short.format(tick)),
    );
  }
  const floor = height - ROOM.bottom;
  svg.append(element("line", { class: "axis", x1: ROOM.left, x2: width - ROOM.right, y1: floor, y2: floor }));
  for (const tick of ticks(0, last, Math.max(2, width / 110))) {
    svg.append(element("text", { x: x(tick), y: floor + 16, "text-anchor": "middle" }, short.format(tick)));
  }
  svg.append(element("text", { x: width - ROOM.right, y: height - 4, "text-anchor": "end" }, "rows seen"));
  svg.append(element("text", { x: 2, y: height - 4 }, unit));

  for (const { points, colour, form } of shown) {
    if (form === "dots") {
      svg.append(...points.map(([a, b]) => element("circle", { class: `dot c${colour}`, cx: x(a), cy: y(b), r: 3 })));
    } else {
      const line = points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ");
      svg.append(element("polyline", { class: `curve ${form} c${colour}`, points: line }));
    }
  }
}
