// The explorer: two linked plots, a choice of estimators and clusters, a panel.

class App {
  constructor(data, root) {
    this.data = data;
    this.root = root;
    this.state = {
      first: data.head.first, second: -1, selected: data.head.start, hovered: -1, subset: null, smoothing: 0,
      keep: new Uint8Array(data.n).fill(1), flagged: new Uint8Array(data.n),
    };
    this.find = (name) => root.querySelector(`[data-part="${name}"]`);
    this.left = new Scatter(this.find("left"), this);
    this.right = new Scatter(this.find("right"), this);
    this.panel = new Panel(this.find("panel"), this);
    this.live = this.find("live");
    root.classList.toggle("single", data.n === 1); // one point is no plot
    this.fill();
    this.fromAddress();
    this.estimator();
    this.choose(this.state.selected, true);
    this.listen();
  }

  fill() {
    const { head } = this.data;
    const option = (value, text) => make("option", { value, text });
    const names = head.estimates.map((each, k) => option(k, each.name));
    this.find("first").replaceChildren(...names);
    this.find("second").replaceChildren(option(-1, "none"), ...names.map((each) => each.cloneNode(true)));
    this.find("parts").hidden = head.parts.length < 2;
    this.find("part").replaceChildren(option(-1, "all"), ...head.parts.map((part, k) => option(k, part.label)));
    this.find("clusters").replaceChildren(...head.names.slice(0, 5000).map((name) => option(name, name)));
    this.find("second").closest("label").hidden = head.estimates.length < 2;
    this.find("first").value = this.state.first;
  }

  quantity(key, k = this.state.first) {
    const list = k === this.state.first ? this.quantities : quantities(this.data, k);
    return list.find((each) => each.key === key);
  }

  // The axes that can be chosen are those of the estimator that is shown.
  estimator() {
    const { data, state } = this;
    this.quantities = quantities(data, state.first);
    const fill = (name, wanted) => {
      const select = this.find(name);
      const before = select.value || wanted;
      select.replaceChildren(...this.quantities.map(({ key, label }) => make("option", { value: key, text: label })));
      select.value = this.quantity(before) ? before : wanted;
    };
    const fallback = this.quantity("redshift") ? "redshift" : "predicted";
    fill("x", fallback);
    fill("y", data.head.truth ? "residual" : "std");
    fill("filter", fallback);
    const score = data.array(`estimate.${state.first}.score`);
    for (let i = 0; i < data.n; i++) state.flagged[i] = Boolean(data.head.reasons[i]) || Boolean(score && score[i] > 1);
    this.filter();
  }

  filter() {
    const { data, state } = this;
    const part = Number(this.find("part").value);
    const flags = this.find("flagged").value;
    const values = this.quantity(this.find("filter").value).values;
    const end = (name, none) => {
      const text = this.find(name).value.trim();
      return text === "" || !Number.isFinite(Number(text)) ? none : Number(text);
    };
    const [low, high] = [end("from", -Infinity), end("to", Infinity)];
    const free = low === -Infinity && high === Infinity;
    const mean = data.array(`estimate.${state.first}.mean`);
    for (let i = 0; i < data.n; i++) {
      state.keep[i] = Number.isFinite(mean[i]) && (part < 0 || data.partOf(i).k === part)
        && (flags === "all" || (flags === "flagged") === Boolean(state.flagged[i]))
        && (free || (values[i] >= low && values[i] <= high));
    }
    this.show();
  }

  show() {
    const { data, state } = this;
    const { truth } = data.head;
    const layer = (x, y) => {
      const q = { x: this.quantity(x), y: this.quantity(y), second: null };
      if (state.second >= 0 && state.second !== state.first) {
        const [a, b] = [this.quantity(x, state.second), this.quantity(y, state.second)];
        if (a && b) q.second = { x: a, y: b };
      }
      return q;
    };
    const other = this.quantity("redshift") ? "redshift" : "std";
    this.left.show({ ...layer(truth ? "true" : other, "predicted"), equality: truth });
    const y = this.find("y").value;
    this.right.show({ ...layer(this.find("x").value, y), zero: y === "residual" || y === "pull", running: y === "residual" || y === "pull" });
    this.find("left-title").textContent = truth ? "Predicted against true mass" : `Predicted mass against ${this.left.x.label}`;
    const name = (q) => q.label[0].toUpperCase() + q.label.slice(1);
    this.find("right-title").textContent = `${name(this.right.y)} against ${this.right.x.label}`;
    this.find("right-note").textContent = [this.right.x.title, this.right.y.title].filter(Boolean).map((t) => t[0].toUpperCase() + t.slice(1).replace(/\.?$/, ".")).join(" ");
    this.score();
  }

  // Number, bias, scatter and coverage of the clusters that are looked at.
  score() {
    const { data, state } = this;
    const names = [state.first, ...(state.second >= 0 && state.second !== state.first ? [state.second] : [])];
    const rows = names.map((k) => {
      let [n, sum, square, inside] = [0, 0, 0, 0];
      for (let i = 0; i < data.n; i++) {
        if (!state.keep[i] || (state.subset && !state.subset[i])) continue;
        const held = data.estimate(k, i);
        if (!held) continue;
        n++;
        if (!Number.isFinite(held.residual)) continue;
        sum += held.residual;
        square += held.residual ** 2;
        const truth = held.mean - held.residual;
        inside += truth >= held.quantiles[1] && truth <= held.quantiles[3];
      }
      let text = `${data.head.estimates[k].name}: ${n.toLocaleString("en-US")} clusters`;
      if (data.head.truth && n > 1) {
        const bias = sum / n;
        const scatter = Math.sqrt(Math.max(square / n - bias ** 2, 0));
        text += `, bias ${signed(bias, 3)} ± ${(scatter / Math.sqrt(n)).toFixed(3)}, scatter ${scatter.toFixed(3)} (ln M500c), ${Math.round((100 * inside) / n)} % within the 68 % interval`;
      }
      return text;
    });
    this.find("score").textContent = `${state.subset ? "Marked: " : ""}${rows.join("; ")}.`;
    this.find("clear").hidden = !state.subset;
  }

  words(i) {
    const held = this.data.estimate(this.state.first, i);
    const part = this.data.partOf(i);
    const lines = [this.data.head.names[i]];
    const truth = this.data.array("truth");
    if (truth && Number.isFinite(truth[i])) lines.push(`true ${massText(truth[i], part.h)}`);
    if (held) lines.push(`${held.limit ? "below" : "predicted"} ${massText(held.quantiles[held.limit ? 4 : 2], part.h)}`);
    if (held && Number.isFinite(held.residual)) lines.push(`residual ${signed(held.residual, 2)} in ln M`);
    return lines;
  }

  async choose(i, quiet = false) {
    this.state.selected = i;
    this.left.mark();
    this.right.mark();
    this.find("cluster").value = this.data.head.names[i];
    await this.panel.show(i);
    if (!quiet) {
      this.live.textContent = `${this.words(i).join(", ")}.`;
      this.toAddress();
    }
  }

  hover(i, plot) {
    if (i === this.state.hovered) return;
    this.state.hovered = i;
    for (const each of [this.left, this.right]) {
      each.mark();
      each.showTip(each === plot ? i : -1, i >= 0 ? this.words(i).join("\n") : "");
    }
  }

  select(mask) {
    this.state.subset = mask && mask.some(Boolean) ? mask : null;
    this.left.draw();
    this.right.draw();
    this.score();
    if (mask) this.live.textContent = this.find("score").textContent;
  }

  listen() {
    const on = (name, kind, action) => this.find(name).addEventListener(kind, action);
    on("first", "change", (event) => { this.state.first = Number(event.target.value); this.estimator(); this.choose(this.state.selected); });
    on("second", "change", (event) => { this.state.second = Number(event.target.value); this.show(); this.choose(this.state.selected); });
    for (const name of ["x", "y"]) on(name, "change", () => { this.show(); this.toAddress(); });
    for (const name of ["part", "flagged", "filter", "from", "to"]) on(name, "change", () => this.filter());
    on("smoothing", "change", (event) => { this.state.smoothing = Number(event.target.value); this.panel.show(this.state.selected); });
    on("clear", "click", () => this.select(null));
    on("previous", "click", () => this.right.step("x", -1));
    on("next", "click", () => this.right.step("x", 1));
    on("worst", "click", () => this.worst());
    on("cluster", "change", (event) => this.named(event.target));
    const redraw = () => { this.left.layout(); this.right.layout(); };
    new ResizeObserver(redraw).observe(this.find("left"));
    for (const query of ["(prefers-color-scheme: dark)", "print"]) window.matchMedia(query).addEventListener("change", redraw);
  }

  named(field) {
    const wanted = field.value.trim().toLowerCase();
    const { names } = this.data.head;
    let i = names.findIndex((name) => name.toLowerCase() === wanted);
    if (i < 0) i = names.findIndex((name) => name.toLowerCase() === `cluster ${wanted}`);
    if (i < 0) i = names.findIndex((name) => wanted && name.toLowerCase().includes(wanted));
    const known = i >= 0;
    field.setAttribute("aria-invalid", String(!known));
    if (known) this.choose(i);
    else this.live.textContent = `There is no cluster ${field.value}.`;
  }

  // Those whose y in the right plot is farthest from its median, one after the other.
  worst() {
    const { keep, subset, selected } = this.state;
    const { values, log } = this.right.y;
    const of = (v) => (log ? Math.log(v) : v);
    const order = [];
    for (let i = 0; i < keep.length; i++) if (keep[i] && (!subset || subset[i]) && Number.isFinite(of(values[i]))) order.push(i);
    if (!order.length) return;
    const sorted = order.map((i) => of(values[i])).sort((a, b) => a - b);
    const middle = sorted[Math.floor(sorted.length / 2)];
    order.sort((a, b) => Math.abs(of(values[b]) - middle) - Math.abs(of(values[a]) - middle));
    this.rank = order[this.rank] === selected ? (this.rank + 1) % order.length : 0;
    this.choose(order[this.rank]);
  }

  // The state stands in the address, so that it can be sent to somebody.
  toAddress() {
    const { head } = this.data;
    const told = new URLSearchParams({
      cluster: this.state.selected, estimator: head.estimates[this.state.first].name, x: this.find("x").value, y: this.find("y").value,
    });
    try {
      window.history.replaceState(null, "", `#${told}`);
    } catch { /* a page without an address of its own */ }
  }

  fromAddress() {
    const told = new URLSearchParams(window.location.hash.slice(1));
    const k = this.data.head.estimates.findIndex((each) => each.name === told.get("estimator"));
    if (k >= 0) this.find("first").value = this.state.first = k;
    const i = told.has("cluster") ? Number(told.get("cluster")) : NaN;
    if (Number.isInteger(i) && i >= 0 && i < this.data.n) this.state.selected = i;
    const list = quantities(this.data, this.state.first);
    for (const name of ["x", "y"]) {
      const held = list.find((each) => each.key === told.get(name));
      if (held) this.find(name).replaceChildren(make("option", { value: held.key, text: held.label }));
    }
  }
}

async function start() {
  const root = document.getElementById("explorer");
  const problem = document.getElementById("explorer-problem");
  try {
    if (!window.DecompressionStream) throw new Error("this browser is too old (it has no DecompressionStream)");
    const data = await Data.load();
    root.hidden = false;
    window.icmassExplorer = new App(data, root);
    problem.hidden = true;
    root.dataset.ready = "true";
  } catch (error) {
    root.hidden = true;
    problem.hidden = false;
    problem.textContent = `The explorer cannot be shown: ${error.message}.`;
  }
}

start();
