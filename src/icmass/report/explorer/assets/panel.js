// What is shown of the cluster that was clicked.

function massText(lnM, h, digits = 3) {
  const mass = Math.exp(lnM - LN_1E14);
  return `${number(mass, digits)} × 10¹⁴ Msun/h (${number(mass / h, digits)} × 10¹⁴ Msun)`;
}

class Panel {
  constructor(root, app) {
    this.root = root;
    this.app = app;
    this.ticket = 0;
  }

  async show(i) {
    const ticket = ++this.ticket;
    const { data, state } = this.app;
    const part = data.partOf(i);
    const maps = await data.maps(i);
    const k = data.head.attributions.findIndex((a) => a.name === data.head.estimates[state.first].name);
    const wanted = k >= 0 ? [k] : data.head.attributions.map((_, n) => n);
    const carried = [];
    for (const n of wanted) {
      const found = await data.attribution(n, i);
      if (found) carried.push([data.head.attributions[n].name, found]);
    }
    if (ticket !== this.ticket) return; // another cluster was clicked meanwhile
    const slots = this.root;
    slots.querySelector(".name").textContent = this.title(i, part);
    slots.querySelector(".facts").replaceChildren(...this.facts(i, part));
    slots.querySelector(".flags").replaceChildren(...this.flags(i));
    slots.querySelector(".maps").replaceChildren(...this.maps(i, part, maps, carried));
    slots.querySelector(".legend").textContent = this.legend(i, part, maps, carried);
    slots.querySelector(".posterior").replaceChildren(this.posterior(i, part));
    slots.querySelector(".masses").replaceChildren(this.table(i, part));
    slots.querySelector(".counts").replaceChildren(this.counts(i, part));
    const profile = slots.querySelector(".profile");
    profile.replaceChildren(...(maps ? [this.profile(i, part, maps)] : []));
    slots.dataset.cluster = i;
  }

  title(i) {
    return this.app.data.head.names[i];
  }

  radii(i) {
    const { data, state } = this.app;
    const of = (lnM) => data.array("radius")[i] * Math.exp((lnM - LN_1E14) / 3);
    const truth = data.array("truth");
    const held = data.estimate(state.first, i);
    const found = [];
    if (truth && Number.isFinite(truth[i])) found.push({ radius: of(truth[i]), kind: "true" });
    if (held) found.push({ radius: of(held.quantiles[(held.quantiles.length - 1) / 2]), kind: "predicted" });
    return found;
  }

  facts(i, part) {
    const { data } = this.app;
    const truth = data.array("truth");
    const pairs = [];
    if (truth && Number.isFinite(truth[i])) pairs.push(["True M500c", massText(truth[i], part.h)]);
    for (const { radius, kind } of this.radii(i)) {
      const arcmin = radius * data.array("arcmin")[i];
      pairs.push([kind === "true" ? "True R500c" : "Predicted R500c", `${number(radius)} comoving Mpc/h = ${number(arcmin)}′`]);
    }
    const skip = new Set(["m500c", "r500c"]);
    for (const { key, label, unit } of data.head.properties) {
      const value = data.array(`property.${key}`)[i];
      if (skip.has(key) || key.startsWith("latent_") || !Number.isFinite(value)) continue;
      const digits = key === "redshift" || key === "ra" || key === "dec" ? 6 : 3;
      pairs.push([label, withUnit(value, unit, digits)]);
    }
    return pairs.slice(0, 18).flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: value })]);
  }

  flags(i) {
    const { data } = this.app;
    const reasons = [...(data.head.reasons[i] || [])];
    data.head.estimates.forEach(({ name }, k) => {
      const held = data.estimate(k, i);
      if (held && held.score > 1) reasons.push(`${name}: out-of-domain score ${number(held.score)}, above 1`);
    });
    if (!reasons.length) return [make("li", { class: "fine", text: "No flag: nothing speaks against these masses." })];
    return reasons.map((text) => make("li", { text }));
  }

  maps(i, part, maps, carried) {
    const { data, state } = this.app;
    if (!maps) {
      const text = `The maps of this cluster are not in the page: those of one in ${data.head.stride} are, to keep it small.`;
      return [make("p", { class: "absent", text })];
    }
    const circles = this.radii(i);
    const name = this.title(i);
    const figures = bandFigures(maps, part, circles, data.head.palettes.inferno, state.smoothing, name);
    for (const [estimator, found] of carried) {
      figures.push(attributionFigure(found, part, circles, data.head.palettes.RdBu_r, estimator, name));
    }
    return figures;
  }

  legend(i, part, maps, carried) {
    const kinds = this.radii(i).map((c) => c.kind);
    const words = [];
    if (kinds.includes("true")) words.push("Dashed: R500c of the true mass.");
    if (kinds.includes("predicted")) words.push(`${kinds.includes("true") ? "Dotted" : "Dashed"}: R500c of the predicted mass.`);
    if (maps?.hidden) words.push("Grey: masked or unexposed.");
    if (carried.length) words.push("Attribution: integrated gradients; red pixels raise the predicted mass over that of the background, blue ones lower it.");
    if (part.factor > 1) words.push(`Maps are binned ${part.factor} × ${part.factor} to keep the page small; no photon is lost.`);
    return words.join(" ");
  }

  shown() {
    const { state } = this.app;
    return state.second >= 0 && state.second !== state.first ? [state.first, state.second] : [state.first];
  }

  posterior(i, part) {
    const { data } = this.app;
    const [width, height, left, right, top, bottom] = [340, 220, 16, 12, 22, 176];
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
    const curves = this.shown().filter((k) => data.estimate(k, i)).map((k) => [k, data.posterior(k, i), data.estimate(k, i)]);
    const truth = data.array("truth")?.[i];
    if (!curves.length) return make("p", { class: "absent", text: "This estimator has no mass of this cluster." });
    const all = curves.flatMap(([, p]) => p.lnM.filter((_, n) => p.density[n] > 0.004));
    if (Number.isFinite(truth)) all.push(truth - 0.03, truth + 0.03);
    const limits = [Math.min(...all), Math.max(...all)].map((v) => Math.exp(v - LN_1E14));
    const sx = scale(limits, [left, width - right], true);
    const y = (d) => bottom - d * (bottom - top);
    for (const tick of sx.ticks) {
      const x = sx.at(tick.value);
      svg.append(draw("path", { d: `M${x},${bottom}v4`, class: "axis" }), draw("text", { x, y: bottom + 17, "text-anchor": "middle" }, tick.text));
    }
    svg.append(draw("path", { d: `M${left},${bottom}H${width - right}`, class: "axis" }));
    svg.append(draw("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle", class: "label" }, `M500c  [${MSUN}]`));
    const words = [];
    curves.forEach(([k, { lnM, density }, held], n) => {
      const at = (v) => sx.at(Math.exp(v - LN_1E14));
      const kind = n ? "second" : "first";
      const points = lnM.map((v, m) => `${at(v)},${y(density[m])}`);
      const inside = lnM.map((v, m) => [v, density[m]]).filter(([v]) => v >= held.quantiles[1] && v <= held.quantiles[3]);
      if (inside.length > 1) {
        const area = inside.map(([v, d]) => `${at(v)},${y(d)}`).join("L");
        svg.append(draw("path", { d: `M${at(inside[0][0])},${bottom}L${area}L${at(inside.at(-1)[0])},${bottom}Z`, class: `area ${kind}` }));
      }
      svg.append(draw("path", { d: `M${points.join("L")}`, class: `curve ${kind}` }));
      const text = data.head.estimates[k].name;
      svg.append(draw("text", { x: left + 18, y: 14 + 15 * n, class: "key" }, text), draw("path", { d: `M${left},${10 + 15 * n}h14`, class: `curve ${kind}` }));
      words.push(`${text}: median ${massText(held.quantiles[2], part.h)}`);
    });
    if (Number.isFinite(truth)) {
      const x = sx.at(Math.exp(truth - LN_1E14));
      svg.append(draw("path", { d: `M${x},${top - 6}V${bottom}`, class: "truth" }));
      const end = x > width / 2;
      svg.append(draw("text", { x: x + (end ? -5 : 5), y: bottom - 6, "text-anchor": end ? "end" : "start", class: "key" }, "true"));
    }
    svg.setAttribute("aria-label", `Posterior of M500c over its peak. ${words.join("; ")}.`);
    return svg;
  }

  table(i, part) {
    const { data, state } = this.app;
    const truth = data.array("truth");
    const known = truth && Number.isFinite(truth[i]);
    const body = make("tbody");
    data.head.estimates.forEach(({ name }, k) => {
      const held = data.estimate(k, i);
      if (!held) return;
      const masses = held.quantiles.map((v) => Math.exp(v - LN_1E14));
      const error = `+${decimals(masses[3] - masses[2])} −${decimals(masses[2] - masses[1])}`;
      const mass = held.limit ? `< ${decimals(masses[4])}` : `${decimals(masses[2])} ${error}`;
      const row = make("tr", k === state.first ? { class: "shown" } : {},
        make("th", { scope: "row", text: name }),
        make("td", { text: mass }),
        make("td", { text: held.limit ? `< ${decimals(masses[4] / part.h)}` : decimals(masses[2] / part.h) }));
      if (known) row.append(make("td", { text: signed(held.residual, 2) }), make("td", { text: signed(held.residual / held.std, 1) }));
      body.append(row);
    });
    const head = make("tr", {}, make("th", { scope: "col", text: "Estimator" }),
      make("th", { scope: "col", text: `M500c, 68 % [${MSUN}]` }), make("th", { scope: "col", text: "[10¹⁴ Msun]" }));
    if (known) head.append(make("th", { scope: "col", text: "residual [ln M]" }), make("th", { scope: "col", text: "over error [σ]" }));
    return make("table", {}, make("caption", { text: `Masses by every estimator; h = ${part.h}` }), make("thead", {}, head), body);
  }

  counts(i, part) {
    const { rows, expected } = this.app.data.photons(i);
    const names = { icm: "gas", agn: "AGN", background: "background" };
    const head = make("tr", {}, make("th", { scope: "col", text: "within R500c" }));
    for (const band of part.bands) head.append(make("th", { scope: "col", text: `${band} keV` }));
    const body = make("tbody");
    const add = (name, values) => body.append(make("tr", {}, make("th", { scope: "row", text: name }),
      ...values.map((v) => make("td", { text: number(v) }))));
    add("all photons", part.bands.map((_, b) => rows.reduce((a, row) => a + row[b], 0)));
    part.components.forEach((name, c) => add(names[name] || name, rows[c]));
    if (expected) add("expected background", expected);
    return make("table", {}, make("caption", { text: "Photons" }), make("thead", {}, head), body);
  }

  // Photons per area against radius, bands apart.
  profile(i, part, maps) {
    const { counts, hidden, side, bands } = maps;
    const pixel = (2 * part.half) / side;
    const n = 12;
    const edge = (k) => part.half * (k / n) ** 1.3;
    const area = new Float32Array(n);
    const sums = bands.map(() => new Float32Array(n));
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const at = y * side + x;
        const r = Math.hypot(x - (side - 1) / 2, y - (side - 1) / 2) * pixel;
        const k = Math.floor(n * (r / part.half) ** (1 / 1.3));
        if (k >= n || (hidden && hidden[at])) continue;
        area[k] += pixel ** 2;
        sums.forEach((sum, b) => { sum[k] += counts[b * side * side + at]; });
      }
    }
    const [width, height, left, right, top, bottom] = [340, 220, 58, 12, 22, 176];
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": "Photons per square comoving Mpc/h against projected radius, a line a band." });
    const density = sums.map((sum) => Array.from(sum, (v, k) => (v && area[k] ? v / area[k] : NaN)));
    const sx = scale([0, part.half], [left, width - right], false);
    const sy = scale(extent(density.flat(), true), [bottom, top + 14 * (bands.length > 3 ? 2 : 1)], true);
    for (const tick of sx.ticks) svg.append(draw("text", { x: sx.at(tick.value), y: bottom + 17, "text-anchor": "middle" }, tick.text));
    for (const tick of sy.ticks) {
      svg.append(draw("path", { d: `M${left},${sy.at(tick.value)}H${width - right}`, class: "grid" }));
      svg.append(draw("text", { x: left - 6, y: sy.at(tick.value) + 4, "text-anchor": "end" }, tick.text));
    }
    svg.append(draw("path", { d: `M${left},${top}V${bottom}H${width - right}`, class: "axis" }));
    for (const { radius, kind } of this.radii(i)) {
      if (radius < part.half) svg.append(draw("path", { d: `M${sx.at(radius)},${top}V${bottom}`, class: `radius dark ${kind}` }));
    }
    density.forEach((values, b) => {
      const points = values.map((v, k) => [sx.at((edge(k) + edge(k + 1)) / 2), v]).filter((p) => Number.isFinite(p[1]));
      svg.append(draw("path", { d: `M${points.map(([x, v]) => `${x},${sy.at(v)}`).join("L")}`, class: `curve band-${b % 4}` }));
      svg.append(draw("path", { d: `M${left + 6 + 92 * (b % 3)},${10 + 14 * Math.floor(b / 3)}h14`, class: `curve band-${b % 4}` }));
      svg.append(draw("text", { x: left + 24 + 92 * (b % 3), y: 14 + 14 * Math.floor(b / 3), class: "key" }, `${bands[b]} keV`));
    });
    svg.append(draw("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle", class: "label" }, "projected radius  [comoving Mpc/h]"));
    const half = (top + bottom) / 2;
    svg.append(draw("text", { x: 12, y: half, "text-anchor": "middle", class: "label", transform: `rotate(-90 12 ${half})` }, "photons a (Mpc/h)²"));
    return svg;
  }
}
