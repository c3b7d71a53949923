// Where the parts of the picture are: side by side on a wide screen, one below the other on a phone.

const [LARGE, SMALL] = [42, 32]; // the side of a unit's square
const GAP = 6;
export const MOST = 8; // workers shown

// Places are {x, y, width, height} in the units of the picture, whose width and height are given.
// alone: whether one process does it all, without a queue.
export function stageOf(workers, wide, alone = false) {
  if (alone) return wide ? ALONE.wide : ALONE.tall;
  const count = Math.max(1, Math.min(MOST, workers));
  return wide ? sideBySide(count) : below(count);
}

const ALONE = {
  wide: {
    wide: true, width: 1040, height: 160, arrows: ["M410 80 H554"],
    plan: { x: 210, y: 20, width: 200, height: 120 }, workers: [{ x: 560, y: 20, width: 270, height: 120 }],
  },
  tall: {
    wide: false, width: 360, height: 200, arrows: ["M180 78 V98"],
    plan: { x: 40, y: 8, width: 280, height: 70 }, workers: [{ x: 40, y: 104, width: 280, height: 84 }],
  },
};

function sideBySide(count) {
  const height = count <= 4 ? 88 : count <= 6 ? 72 : 62;
  const total = Math.max(330, 24 + count * (height + 14) + 62);
  const middle = (total - 62) / 2;
  const top = middle - (count * (height + 14) - 14) / 2;
  const stage = {
    wide: true, unit: LARGE, width: 1040, height: total,
    plan: { x: 10, y: middle - 60, width: 140, height: 120 },
    queue: { x: 192, y: middle - 90, width: 5 * (LARGE + GAP) + 16, height: 180, columns: 5, rows: 2 },
    workers: Array.from({ length: count }, (_, each) => ({ x: 490, y: top + each * (height + 14), width: 250, height })),
    server: { x: 782, y: middle - 105, width: 250, height: 210 },
  };
  const { plan, queue, server } = stage;
  const ends = (box) => `${box.x - 6} ${box.y + box.height / 2}`;
  stage.arrows = [
    `M${plan.x + plan.width} ${middle} H${queue.x - 6}`,
    ...stage.workers.map((box) => `M${queue.x + queue.width} ${middle} L${ends(box)}`),
    ...stage.workers.map((box) => `M${box.x + box.width} ${box.y + box.height / 2} L${server.x - 6} ${middle}`),
  ];
  const floor = total - 26;
  const last = stage.workers.at(-1);
  stage.back = `M${server.x + 125} ${server.y + server.height} V${floor} H${last.x + 125} V${last.y + last.height + 8}`;
  stage.label = { x: (server.x + 125 + last.x + 125) / 2, y: floor - 9 };
  return stage;
}

function below(count) {
  const rows = Math.ceil(count / 2);
  const [left, width, height] = [8, 152, 92];
  const under = 208 + rows * (height + 12) + 26;
  const workers = Array.from({ length: count }, (_, each) => ({
    x: count === 1 ? left + 82 : left + (each % 2) * (width + 12), y: 208 + (each >> 1) * (height + 12), width, height,
  }));
  const server = { x: left, y: under, width: 316, height: 140 };
  const stage = {
    wide: false, unit: SMALL, width: 360, height: under + 150,
    plan: { x: left, y: 8, width: 316, height: 52 },
    queue: { x: left, y: 86, width: 316, height: 92, columns: 7, rows: 1 },
    workers, server,
  };
  const right = 346;
  stage.arrows = ["M166 60 V80", "M166 178 V202", `M166 ${under - 28} V${under - 6}`];
  stage.back = `M${left + 316} ${under + 70} H${right} V${208 + height / 2} H${left + 316 + 8}`;
  stage.label = null;
  return stage;
}

// The middle of a unit at a place of a scene; `lanes`: the lanes that are shown, in order.
export function pointOf(stage, { at, lane, slot = 0 }, lanes) {
  const { queue, server, unit } = stage;
  const cell = unit + GAP;
  const box = stage.workers[lanes.indexOf(lane)] ?? stage.workers.at(-1);
  const floor = ({ y, height }) => y + height - unit / 2 - 8;
  if (at === "plan") return middle(stage.plan);
  if (at === "queue") {
    // The first one is at the end towards the workers.
    const [column, row] = cellOf(slot, queue.columns, queue.rows);
    const across = column * cell + unit / 2 + 11;
    return [stage.wide ? queue.x + queue.width - across : queue.x + across, floor(queue) - row * cell];
  }
  if (at === "work" || at === "hand") {
    const place = at === "work" ? 0 : 1 + Math.min(1, slot);
    return [box.x + box.width - 8 - unit / 2 - place * cell, floor(box)];
  }
  if (at === "way") {
    return stage.wide ? [server.x - 30, 0.3 * middle(box)[1] + 0.7 * middle(server)[1]] : [middle(box)[0], server.y - 14];
  }
  const columns = Math.floor((server.width - 10) / cell);
  const [column, row] = cellOf(slot, columns, 2);
  return [server.x + 11 + unit / 2 + column * cell, floor(server) - row * cell];
}

const middle = ({ x, y, width, height }) => [x + width / 2, y + height / 2];

// Those that have no cell share the last one.
function cellOf(slot, columns, rows) {
  const place = Math.min(slot, columns * rows - 1);
  return [place % columns, Math.floor(place / columns)];
}
