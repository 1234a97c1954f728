// Maps as images: a palette, an asinh stretch, R500c, axes in comoving Mpc/h.

const FRAME = { left: 40, top: 6, side: 200, width: 250, height: 248 };

function palette(colours) {
  const stops = colours.map((c) => [1, 3, 5].map((k) => parseInt(c.slice(k, k + 2), 16)));
  return (share) => {
    const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
    const k = Math.min(Math.floor(place), stops.length - 2);
    return stops[k].map((v, c) => v + (stops[k + 1][c] - v) * (place - k));
  };
}

// An asinh stretch from 0 to top: 0 to 1, linear below the knee.
function asinhStretch(top, knee) {
  const whole = Math.asinh(top / knee);
  return {
    of: (value) => Math.asinh(value / knee) / whole,
    back: (share) => knee * Math.sinh(share * whole),
  };
}

// Gaussian of a width in pixels, edges repeated.
function smooth(values, side, sigma) {
  const reach = Math.ceil(3 * sigma);
  const kernel = [];
  for (let k = -reach; k <= reach; k++) kernel.push(Math.exp(-((k / sigma) ** 2) / 2));
  const sum = kernel.reduce((a, b) => a + b);
  const pass = (from, strideA, strideB) => {
    const to = new Float32Array(from.length);
    for (let a = 0; a < side; a++) {
      for (let b = 0; b < side; b++) {
        let total = 0;
        for (let k = -reach; k <= reach; k++) {
          total += kernel[k + reach] * from[a * strideA + Math.min(Math.max(b + k, 0), side - 1) * strideB];
        }
        to[a * strideA + b * strideB] = total / sum;
      }
    }
    return to;
  };
  return pass(pass(values, side, 1), 1, side);
}

function paint(canvas, values, side, hidden, colourOf) {
  canvas.width = canvas.height = side;
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(side, side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const from = (side - 1 - y) * side + x; // the first row of a map is the lowest
      const colour = hidden && hidden[from] ? [156, 163, 175] : colourOf(values[from]);
      image.data.set([...colour.map(Math.round), 255], (y * side + x) * 4);
    }
  }
  pen.putImageData(image, 0, 0);
}

// A map with its title, axes, circles and colour bar. circles: [{ radius, kind }].
function mapFigure({ title, values, side, hidden, half, circles, colours, bar, words, observed }) {
  const colourOf = palette(colours);
  const canvas = make("canvas", { "aria-hidden": "true" });
  paint(canvas, values, side, hidden, (v) => colourOf(bar.of(v)));
  const svg = draw("svg", { viewBox: `0 0 ${FRAME.width} ${FRAME.height}`, role: "img", "aria-label": words });
  const { left, top, side: size } = FRAME;
  const px = (mpc) => left + ((mpc + half) / (2 * half)) * size;
  const py = (mpc) => top + ((half - mpc) / (2 * half)) * size;
  svg.append(draw("rect", { x: left, y: top, width: size, height: size, class: "axis" }));
  for (const { radius, kind } of circles) {
    if (radius < half * 1.2) svg.append(draw("circle", { cx: px(0), cy: py(0), r: px(radius) - px(0), class: `radius ${kind}` }));
  }
  svg.append(draw("path", { d: `M${px(0) - 4},${py(0)}h8M${px(0)},${py(0) - 4}v8`, class: "radius" }));
  const step = half < 1.5 ? 0.5 : half < 4 ? 1 : 2;
  for (let k = Math.ceil(-half / step); k * step <= half; k++) {
    const text = minus(k * step);
    svg.append(draw("path", { d: `M${px(k * step)},${top + size}v4M${left},${py(k * step)}h-4`, class: "axis" }));
    svg.append(draw("text", { x: px(k * step), y: top + size + 16, "text-anchor": "middle" }, text));
    svg.append(draw("text", { x: left - 7, y: py(k * step) + 4, "text-anchor": "end" }, text));
  }
  const across = observed ? "comoving Mpc/h  (East left)" : "comoving Mpc/h";
  svg.append(draw("text", { x: left + size / 2, y: top + size + 33, "text-anchor": "middle" }, across));
  const up = top + size / 2;
  svg.append(draw("text", { x: 11, y: up, "text-anchor": "middle", transform: `rotate(-90 11 ${up})` },
    observed ? "North up" : "comoving Mpc/h"));
  const figure = make("div", { class: "map" });
  figure.append(make("h4", { text: title }), make("div", { class: "frame" }, canvas, svg), barOf(colourOf, bar));
  return figure;
}

function barOf(colourOf, bar) {
  const canvas = make("canvas", { "aria-hidden": "true", width: 128, height: 1 });
  const pen = canvas.getContext("2d");
  for (let k = 0; k < 128; k++) {
    pen.fillStyle = `rgb(${colourOf(k / 127).map(Math.round).join(",")})`;
    pen.fillRect(k, 0, 1, 1);
  }
  const ends = make("div", { class: "ends" });
  for (const share of [0, 0.5, 1]) ends.append(make("span", { text: number(bar.back(share), 2) }));
  return make("div", { class: "bar" }, canvas, ends, make("div", { class: "unit", text: bar.unit }));
}

function highest(values, share) {
  const sorted = Float32Array.from(values, Math.abs).sort();
  return sorted[Math.round(share * (sorted.length - 1))];
}

// The figures of a cluster's bands; smoothing in comoving Mpc/h, 0 for counts as they are.
function bandFigures(maps, part, circles, colours, smoothing, name) {
  const { counts, hidden, side, bands } = maps;
  const pixel = (2 * part.half) / side;
  return bands.map((band, b) => {
    const raw = counts.subarray(b * side * side, (b + 1) * side * side);
    const total = raw.reduce((a, v) => a + v, 0);
    const values = smoothing > 0.3 * pixel ? smooth(raw, side, smoothing / pixel) : raw;
    const top = Math.max(highest(values, 0.999), smoothing ? 0.02 : 2);
    const bar = { ...asinhStretch(top, top / 8), unit: "photons a pixel" };
    return mapFigure({
      title: `${band} keV: ${number(total)} photons`, values, side, hidden, half: part.half, circles, colours, bar,
      observed: part.observed, words: `Photons of ${name} in ${band} keV: ${total} in the map, at most ${highest(raw, 1)} in a pixel.`,
    });
  });
}

function attributionFigure(found, part, circles, colours, estimator, name) {
  const top = Math.max(highest(found.values, 0.998), 1e-9);
  const stretch = asinhStretch(top, top / 10);
  const bar = {
    of: (v) => (1 + Math.sign(v) * stretch.of(Math.abs(v))) / 2,
    back: (share) => Math.sign(share - 0.5) * stretch.back(Math.abs(2 * share - 1)),
    unit: "Δ ln M500c a pixel",
  };
  const sum = found.values.reduce((a, v) => a + v, 0);
  return mapFigure({
    title: `Attribution: ${estimator}`, values: found.values, side: found.side, hidden: null, half: part.half,
    circles: circles.map((c) => ({ ...c, kind: `${c.kind} dark` })), colours, bar, observed: part.observed,
    words: `Integrated gradients of ${estimator} for ${name}: the pixels add ${signed(sum, 2)} to ln M500c over the background.`,
  });
}
