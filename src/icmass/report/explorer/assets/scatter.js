// One scatter plot: points on a canvas, axes and marks in an SVG over it.

const MARGIN = { left: 68, right: 12, top: 10, bottom: 46 };
const NEAR = 14; // pixels within which a point is taken

class Scatter {
  // app: { choose(i), hover(i), select(mask), data, state }
  constructor(root, app, title) {
    this.app = app;
    this.canvas = root.querySelector("canvas");
    this.svg = root.querySelector("svg");
    this.tip = root.querySelector(".tip");
    this.box = root.querySelector(".plot");
    this.title = title;
    this.listen();
  }

  // x, y: quantities; second: { x, y } of the compared estimator, or null.
  show({ x, y, second = null, equality = false, zero = false, running = false }) {
    Object.assign(this, { x, y, second, equality, zero, running });
    this.layout();
  }

  layout() {
    if (!this.x) return;
    const width = Math.max(this.box.clientWidth, 220);
    const height = Math.round(Math.min(Math.max(width * 0.78, 260), 430));
    const ratio = Math.max(window.devicePixelRatio || 1, 2);
    this.size = { width, height };
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    this.canvas.style.height = `${height}px`;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.style.height = `${height}px`;
    const { keep } = this.app.state;
    const both = (a, b) => (b ? [...a, ...b] : a);
    const twice = this.second ? [...keep, ...keep] : keep;
    let xs = extent(both(this.x.values, this.second?.x.values), this.x.log, twice);
    let ys = extent(both(this.y.values, this.second?.y.values), this.y.log, twice);
    if (this.equality) xs = ys = [Math.min(xs[0], ys[0]), Math.max(xs[1], ys[1])];
    this.sx = scale(xs, [MARGIN.left, width - MARGIN.right], this.x.log);
    this.sy = scale(ys, [height - MARGIN.bottom, MARGIN.top], this.y.log);
    this.axes();
    this.draw();
  }

  axes() {
    const { width, height } = this.size;
    const bottom = height - MARGIN.bottom;
    const right = width - MARGIN.right;
    const group = draw("g", { class: "axes" });
    group.append(draw("path", { d: `M${MARGIN.left},${MARGIN.top}V${bottom}H${right}`, class: "axis" }));
    for (const tick of this.sx.ticks) {
      const x = this.sx.at(tick.value);
      group.append(draw("path", { d: `M${x},${MARGIN.top}V${bottom + 4}`, class: "grid" }));
      group.append(draw("text", { x, y: bottom + 17, "text-anchor": "middle" }, tick.text));
    }
    for (const tick of this.sy.ticks) {
      const y = this.sy.at(tick.value);
      group.append(draw("path", { d: `M${MARGIN.left - 4},${y}H${right}`, class: "grid" }));
      group.append(draw("text", { x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, tick.text));
    }
    const name = (q) => (q.unit ? `${q.label}  [${q.unit}]` : q.label);
    const middle = (MARGIN.left + right) / 2;
    group.append(draw("text", { x: middle, y: height - 8, "text-anchor": "middle", class: "label" }, name(this.x)));
    const half = (MARGIN.top + bottom) / 2;
    group.append(draw("text", {
      x: 14, y: half, "text-anchor": "middle", class: "label", transform: `rotate(-90 14 ${half})`,
    }, name(this.y)));
    this.marks = draw("g", { class: "marks" });
    this.svg.replaceChildren(group, this.lines(), this.marks);
  }

  lines() {
    const group = draw("g");
    const [x0, x1] = this.sx.limits;
    if (this.equality) {
      group.append(draw("path", {
        d: `M${this.sx.at(x0)},${this.sy.at(x0)}L${this.sx.at(x1)},${this.sy.at(x1)}`, class: "reference",
      }));
    }
    if (this.zero && this.sy.limits[0] < 0 && this.sy.limits[1] > 0) {
      group.append(draw("path", { d: `M${this.sx.at(x0)},${this.sy.at(0)}H${this.sx.at(x1)}`, class: "reference" }));
    }
    if (this.running) {
      const bins = runningQuantiles(this.x.values, this.y.values, this.app.state.keep, 10);
      const path = (name, reverse) => {
        const points = bins.map((b) => `${this.sx.at(b.x)},${this.sy.at(b[name])}`);
        return (reverse ? points.reverse() : points).join("L");
      };
      if (bins.length > 1) {
        group.append(draw("path", { d: `M${path("low")}L${path("high", true)}Z`, class: "band" }));
        group.append(draw("path", { d: `M${path("middle")}`, class: "median" }));
      }
    }
    return group;
  }

  draw() {
    if (!this.sx) return;
    const { keep, subset, flagged } = this.app.state;
    const pen = this.canvas.getContext("2d");
    const ratio = this.canvas.width / this.size.width;
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, this.size.width, this.size.height);
    const radius = this.app.data.n > 1500 ? 2.1 : this.app.data.n > 300 ? 2.7 : 3.6;
    const layers = [];
    if (this.second) layers.push([this.second, colour("--second"), true]);
    layers.push([this, colour("--first"), false]);
    for (const [layer, ink, square] of layers) {
      for (const inside of [false, true]) {
        pen.globalAlpha = inside ? 0.75 : 0.13;
        pen.fillStyle = pen.strokeStyle = ink;
        for (let i = 0; i < keep.length; i++) {
          if (!keep[i] || Boolean(!subset || subset[i]) !== inside) continue;
          const x = this.sx.at(layer.x.values[i]);
          const y = this.sy.at(layer.y.values[i]);
          if (Number.isFinite(x) && Number.isFinite(y)) this.point(pen, x, y, radius, square, flagged[i]);
        }
      }
    }
    pen.globalAlpha = 1;
    this.mark();
  }

  // Flagged clusters are open, compared estimates are squares.
  point(pen, x, y, radius, square, open) {
    pen.beginPath();
    if (square) pen.rect(x - radius, y - radius, 2 * radius, 2 * radius);
    else pen.arc(x, y, radius, 0, 2 * Math.PI);
    if (open) {
      pen.lineWidth = 1.1;
      pen.stroke();
    } else pen.fill();
  }

  mark() {
    if (!this.marks) return;
    this.marks.replaceChildren();
    const { selected, hovered } = this.app.state;
    for (const [i, kind] of [[hovered, "hovered"], [selected, "selected"]]) {
      if (i < 0) continue;
      const x = this.sx.at(this.x.values[i]);
      const y = this.sy.at(this.y.values[i]);
      if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
      this.marks.append(draw("circle", { cx: x, cy: y, r: 7, class: `halo ${kind}` }));
      this.marks.append(draw("circle", { cx: x, cy: y, r: 7, class: kind }));
    }
    if (this.drag?.box) this.marks.append(draw("rect", { ...this.drag.box, class: "brush" }));
  }

  nearest(px, py, within = NEAR) {
    let best = -1;
    let least = within ** 2;
    const { keep } = this.app.state;
    for (let i = 0; i < keep.length; i++) {
      if (!keep[i]) continue;
      const far = (this.sx.at(this.x.values[i]) - px) ** 2 + (this.sy.at(this.y.values[i]) - py) ** 2;
      if (far < least) [best, least] = [i, far];
    }
    return best;
  }

  place(event) {
    const box = this.svg.getBoundingClientRect();
    const zoom = this.size.width / box.width;
    return [(event.clientX - box.left) * zoom, (event.clientY - box.top) * zoom];
  }

  listen() {
    const { svg } = this;
    svg.addEventListener("pointerdown", (event) => {
      this.drag = { from: this.place(event), mouse: event.pointerType === "mouse" };
      if (this.drag.mouse) svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      const [x, y] = this.place(event);
      if (this.drag?.mouse && event.buttons) {
        const [a, b] = this.drag.from;
        const box = { x: Math.min(a, x), y: Math.min(b, y), width: Math.abs(x - a), height: Math.abs(y - b) };
        if (Math.max(box.width, box.height) > 6) this.drag.box = box;
        this.mark();
      } else if (event.pointerType === "mouse") this.app.hover(this.nearest(x, y), this);
    });
    svg.addEventListener("pointerup", (event) => {
      const box = this.drag?.box;
      const from = this.drag?.from;
      this.drag = null;
      const [x, y] = this.place(event);
      if (box) this.brush(box);
      else if (from && Math.hypot(x - from[0], y - from[1]) < 10) {
        const i = this.nearest(x, y, event.pointerType === "mouse" ? NEAR : 2 * NEAR);
        if (i >= 0) this.app.choose(i);
        else this.app.select(null);
      }
    });
    svg.addEventListener("pointercancel", () => { this.drag = null; });
    svg.addEventListener("pointerleave", () => this.app.hover(-1, this));
    svg.addEventListener("keydown", (event) => this.key(event));
  }

  brush(box) {
    const mask = new Uint8Array(this.app.data.n);
    for (let i = 0; i < mask.length; i++) {
      const x = this.sx.at(this.x.values[i]);
      const y = this.sy.at(this.y.values[i]);
      mask[i] = x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + box.height;
    }
    this.app.select(mask);
  }

  // Arrows go to the next cluster in x (left, right) or y (down, up), among those chosen.
  key(event) {
    const steps = { ArrowLeft: ["x", -1], ArrowRight: ["x", 1], ArrowDown: ["y", -1], ArrowUp: ["y", 1] };
    if (event.key === "Escape") this.app.select(null);
    else if (event.key === "Home" || event.key === "End") this.step("x", event.key === "End" ? Infinity : -Infinity);
    else if (event.key in steps) this.step(...steps[event.key]);
    else return;
    event.preventDefault();
  }

  step(axis, by) {
    const { keep, subset, selected } = this.app.state;
    const values = this[axis].values;
    const other = this[axis === "x" ? "y" : "x"].values;
    const order = [];
    for (let i = 0; i < keep.length; i++) {
      if (keep[i] && (!subset || subset[i]) && Number.isFinite(values[i]) && Number.isFinite(other[i])) order.push(i);
    }
    if (!order.length) return;
    order.sort((a, b) => values[a] - values[b] || a - b);
    const at = order.indexOf(selected);
    const next = at < 0 ? 0 : Math.min(Math.max(at + by, 0), order.length - 1);
    this.app.choose(order[next]);
  }

  // The words of the point under the pointer.
  showTip(i, text) {
    this.tip.hidden = i < 0 || !text;
    if (this.tip.hidden) return;
    this.tip.textContent = text;
    const zoom = this.svg.getBoundingClientRect().width / this.size.width;
    const x = this.sx.at(this.x.values[i]) * zoom;
    this.tip.style.left = `${Math.min(Math.max(x, 90), this.size.width * zoom - 90)}px`;
    this.tip.style.top = `${this.sy.at(this.y.values[i]) * zoom}px`;
  }
}
