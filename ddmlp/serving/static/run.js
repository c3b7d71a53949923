// Shows a run while it trains: state, figures, curves, workers and log.

import { draw } from "./chart.js";
import { Log } from "./log.js";
import { make } from "./make.js";
import { whole } from "./numbers.js";
import { Picture } from "./picture.js";
import { Timeline } from "./timeline.js";
import { begins, follow, tell } from "./trace.js";
import { Workers } from "./workers.js";

const POINTS = 2000; // events that are kept: beyond that, every second one is dropped
const percent = (share) => (share === null ? "not finite" : `${(100 * share).toFixed(2)} %`);

// Curves of progress events (p), of tests after epochs (t) and of drift alarms (d).
const line = (tell, form = "line", colour = 0) => ({ of: "progress", tell, form, colour });
const dots = (tell) => ({ of: "tests", tell, form: "dots", colour: 1 });
const times = (value, factor) => (value === null ? null : value * factor);
// Waiting since the previous event, in percent of the time; null without workers, or after a start.
const share = (count) => (p, before) => {
  if (!before || p.seconds <= before.seconds || !p.queues.gradients.blocked_seconds) return null;
  const seconds = count(p) - count(before);
  return seconds < 0 ? null : 100 * Math.min(1, seconds / (p.seconds - before.seconds));
};
const CHARTS = [
  {
    title: "Loss", unit: "E, nats", log: true,
    about: "Mean error E per row. Line: training rows, just before the step that trains on them. Dots: test rows, after " +
      "each epoch.",
    curves: [line((p) => p.error), dots((t) => t.test_cross_entropy)],
  },
  {
    title: "Error", unit: "% of rows", log: true,
    about: "Misclassified rows. Line: training rows, just before the step that trains on them. Dots: test rows, after " +
      "each epoch.",
    curves: [line((p) => times(p.mistakes, 100)), dots((t) => times(t.test_error, 100))],
  },
  {
    title: "Prequential error", unit: "% of rows",
    about: "Line: rows that were misclassified just before they were trained on, among the newest rows. Dots: drift " +
      "alarms, at the error since it has risen.",
    curves: [
      line((p) => (p.prequential ? times(p.prequential.error, 100) : null)),
      { of: "drifts", tell: (d) => times(d.after, 100), form: "dots", colour: 1 },
    ],
  },
  {
    title: "Lag", unit: "rows", whole: true,
    about: "Rows of the stream that are not trained on yet: in its broker, and on disk.",
    curves: [line((p) => p.lag?.rows)],
  },
  {
    title: "Delay", unit: "s",
    about: "Seconds since the newest row that is trained on was sent; 0 if all rows are trained on.",
    curves: [line((p) => p.lag?.seconds)],
  },
  {
    title: "Speed", unit: "rows/s",
    about: "Rows per second of training, since the previous point.",
    curves: [line((p) => p.rows_per_second)],
  },
  {
    title: "Waiting", unit: "% of time",
    about: "Line: the server waited for gradients. If it is high, more workers help. Dotted: the average worker waited " +
      "for a unit. If it is high, the server or the messages are the bottleneck.",
    curves: [
      line(share((p) => p.wait_seconds)),
      line(share((p) => p.queues.gradients.blocked_seconds / Math.max(1, p.workers)), "limit", 1),
    ],
  },
  {
    title: "Workers", unit: "processes", whole: true,
    about: "Workers that are connected.",
    curves: [line((p) => p.workers)],
  },
];

// fresh() is called when there is a new checkpoint
export function watch(fresh) {
  const facts = new Facts(document.getElementById("facts"));
  const figures = CHARTS.map((chart) => new Figure(chart, document.getElementById("curves")));
  const at = (id) => document.getElementById(id);
  const picture = new Picture(at("picture"));
  const [workers, log] = [new Workers(at("workers"), at("workers-title")), new Log(at("log"))];
  let told = nothing();
  let due = false;
  const show = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      facts.show(told);
      picture.show(told);
      workers.show(told.progress.at(-1)?.answered ?? {}, told.lost, told.units);
      at("log-title").hidden = log.empty;
      for (const figure of figures) figure.show(told);
    });
  };
  let timeline = null;
  follow((events, cut) => {
    if (!timeline || begins(events)) {
      const place = make("div");
      at("timeline").replaceChildren(make("h3", "Timeline"), place);
      at("timeline").hidden = false;
      timeline = new Timeline(place);
    }
    timeline.take(events, cut);
  });
  const source = new EventSource("events");
  source.addEventListener("again", () => {
    told = { ...nothing(), state: told.state };
    log.clear();
    show();
  });
  source.addEventListener("events", ({ data }) => {
    const saved = told.saved;
    for (const event of JSON.parse(data)) {
      take(told, event);
      log.take(event);
    }
    if (told.saved !== saved) fresh();
    show();
  });
  source.addEventListener("state", ({ data }) => {
    told.state = JSON.parse(data);
    document.getElementById("report").hidden = !told.state.report;
    tell(told.state.trace);
    say(sentence(told.state));
    show();
  });
  source.addEventListener("error", () => {
    say("The server does not respond. Retrying…");
    told.state = null;
    tell(false);
  });
  addEventListener("resize", show);
}

// Shows the state of the run, and lets screen readers read it once.
function say(sentence) {
  const state = document.getElementById("state");
  if (state.textContent === sentence) return;
  state.textContent = sentence;
  document.getElementById("spoken").textContent = sentence;
}

// units: the newest known number that each worker has answered, also of those that were lost.
const nothing = () => ({ progress: [], tests: [], lost: [], drifts: [], units: {}, saved: null, state: null });

function take(told, event) {
  if (event.event === "progress") {
    told.progress.push(event);
    told.progress = thinned(told.progress);
    Object.assign(told.units, event.answered);
  } else if (event.event === "epoch") {
    told.tests.push({ ...event, rows: told.progress.at(-1)?.rows ?? 0 });
    told.tests = thinned(told.tests);
  } else if (event.event === "checkpoint") {
    told.saved = event;
  } else if (event.event === "drift") {
    told.drifts = [...told.drifts, event].slice(-POINTS);
  } else if (event.event === "lost") {
    told.lost = [...told.lost, event].slice(-POINTS);
  } else if (event.event === "start") {
    [told.lost, told.units] = [[], {}];
  }
}

// Every second one, with the newest, if there are too many.
const thinned = (all) => (all.length > POINTS ? all.filter((_, each) => (all.length - each) % 2) : all);

function sentence({ begun, quiet, result }) {
  if (result) return result.finished ? "Finished." : `Stopped after step ${whole(result.steps)}.`;
  if (!begun) return "Not started yet.";
  return quiet ? `No progress for ${whole(quiet)} s.` : "Training.";
}

// Estimated training time left, at the latest speed, without tests and checkpoints.
function left({ epoch, rows, rows_per_second: speed }, epochs) {
  if (!speed) return null;
  const seconds = Math.ceil(((epochs - epoch) * (rows / epoch)) / speed);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const [hours, minutes] = parts;
  if (hours) return `${whole(hours)} h ${minutes} min`;
  return minutes ? `${minutes} min ${parts[2]} s` : `${seconds} s`;
}

// A time as date and time of day, here.
const clock = (time) => new Date(time).toLocaleString("sv");

function lagText({ messages, rows, seconds }) {
  const count = rows === undefined ? `${whole(messages)} messages` : `${whole(rows)} rows`;
  return seconds === undefined ? count : `${count}, ${whole(seconds)} s`;
}

class Facts {
  #list;

  constructor(list) {
    this.#list = list;
  }

  show({ progress, tests, saved, state }) {
    const now = progress.at(-1);
    const result = state?.result;
    const epochs = state?.epochs; // null if the run has no fixed end
    const of = (number) => (epochs ? ` of ${whole(number)}` : "");
    const facts = [
      ["Step", now && whole(now.step) + of(Math.round((now.step / now.epoch) * epochs))],
      ["Epoch", now && now.epoch.toFixed(2) + of(epochs)],
      ["Time left", now && epochs && !result && left(now, epochs)],
      ["Rows trained on", now && whole(now.rows)],
      ["Trained up to", now?.trained_to && clock(now.trained_to)],
      ["Lag", !result && state?.lag && lagText(state.lag)],
      ["Speed", now && `${whole(now.rows_per_second ?? 0)} rows/s`],
      ["Workers", now && whole(now.workers)],
      ["Units reissued", now && whole(now.reissued)],
      ["Last checkpoint", saved && `step ${whole(saved.step)}`],
      ["Test error", tests.length ? percent(tests.at(-1).test_error) : null],
      ["Weights sha256", result && `${result.weights_sha256.slice(0, 12)}…`],
    ];
    const told = facts.filter(([, value]) => value);
    this.#list.replaceChildren(...told.map(([name, value]) => make("div", "", make("dt", name), make("dd", value))));
  }
}

class Figure {
  #chart;
  #figure = make("figure");
  #svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");

  constructor(chart, place) {
    this.#chart = chart;
    const unit = make("span", chart.unit);
    unit.className = "faint";
    this.#svg.setAttribute("role", "img");
    this.#figure.hidden = true; // until there is something to draw
    this.#figure.append(make("h3", `${chart.title} `, unit), this.#svg, make("figcaption", chart.about));
    place.append(this.#figure);
  }

  show(told) {
    const curves = this.#chart.curves.map(({ of, tell, ...how }) => ({
      ...how,
      points: told[of].map((each, at, all) => [each.rows, tell(each, all[at - 1]) ?? null]),
    }));
    const values = curves[0].points.map(([, y]) => y).filter((y) => y !== null);
    this.#figure.hidden = values.length < 2;
    if (this.#figure.hidden) return;
    draw(this.#svg, curves, this.#chart);
    const said = `${this.#chart.title}, ${this.#chart.unit}: from ${Number(values[0].toPrecision(3))} to `;
    this.#svg.setAttribute("aria-label", said + Number(values.at(-1).toPrecision(3)));
  }
}
