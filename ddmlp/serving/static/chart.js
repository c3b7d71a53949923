// Draws curves over the rows trained on, as SVG.

import { element } from "./make.js";

const ROOM = { left: 46, right: 22, top: 10, bottom: 36 };
const POINTS = 250; // of a curve: more cannot be told apart
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

// About `count` round numbers from low to high, at least `least` apart.
function ticks(low, high, count, least = 0) {
  const rough = Math.max((high - low) / count, least) || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, each) => (first + each) * step);
}

// 1, 2 and 5 times the powers of ten from low to high; only the powers if those would be too many.
function decades(low, high) {
  const powers = ticks(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)), 99).filter(Number.isInteger);
  const all = powers.flatMap((power) => [1, 2, 5].map((each) => each * 10 ** power));
  const within = all.filter((each) => each >= low * 0.999 && each <= high * 1.001);
  return within.length > 8 ? powers.map((power) => 10 ** power).filter((each) => each >= low && each <= high) : within;
}

// At most `most` points: means of groups of neighbours, or, for counts, one of each group.
function thinned(points, most, counted) {
  const size = Math.ceil(points.length / most);
  if (size <= 1) return points;
  const mean = (group, axis) => group.reduce((sum, point) => sum + point[axis], 0) / group.length;
  const groups = Array.from({ length: Math.ceil(points.length / size) }, (_, each) =>
    points.slice(each * size, (each + 1) * size),
  );
  return groups.map((group) => (counted ? group.at(-1) : [mean(group, 0), mean(group, 1)]));
}

// curves: [{points: [[x, y], ...], colour: 0 or 1, form: "line", "dots" or "limit"}]; log: whether y is logarithmic;
// whole: whether y is a count
export function draw(svg, curves, { log, whole }) {
  const shown = curves.map(({ points, ...how }) => {
    const drawable = points.filter(([, y]) => y !== null && (!log || y > 0));
    return { ...how, points: thinned(drawable, POINTS, whole) };
  });
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

  for (const tick of log ? decades(least, most) : ticks(0, most, 4, whole ? 1 : 0)) {
    svg.append(
      element("line", { class: "scale", x1: ROOM.left, x2: width - ROOM.right, y1: y(tick), y2: y(tick) }),
      element("text", { x: ROOM.left - 6, y: y(tick) + 4, "text-anchor": "end" }, short.format(tick)),
    );
  }
  const floor = height - ROOM.bottom;
  svg.append(element("line", { class: "axis", x1: ROOM.left, x2: width - ROOM.right, y1: floor, y2: floor }));
  for (const tick of ticks(0, last, Math.max(2, width / 80))) {
    svg.append(element("text", { x: x(tick), y: floor + 16, "text-anchor": "middle" }, short.format(tick)));
  }
  svg.append(element("text", { x: width - ROOM.right, y: height - 4, "text-anchor": "end" }, "rows trained on"));

  for (const { points, colour, form } of shown) {
    if (form === "dots") {
      svg.append(...points.map(([a, b]) => element("circle", { class: `dot c${colour}`, cx: x(a), cy: y(b), r: 3 })));
    } else {
      const line = points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ");
      svg.append(element("polyline", { class: `curve ${form} c${colour}`, points: line }));
    }
  }
}
