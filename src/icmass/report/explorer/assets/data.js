// What the page holds: base64 of deflated arrays, decoded when they are looked at.

const TYPES = {
  f4: Float32Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i1: Int8Array,
};

function textOf(name) {
  const element = document.getElementById(`explorer-${name}`);
  return element ? element.textContent : "";
}

function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

async function inflate(bytes, format) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

class Data {
  constructor(head, buffer) {
    this.head = head;
    this.n = head.n;
    this.buffer = buffer;
    this.texts = {};
    this.views = {};
    this.firsts = [];
    let first = 0;
    for (const part of head.parts) {
      this.firsts.push(first);
      first += part.n;
    }
  }

  static async load() {
    const head = await inflate(bytesOf(textOf("head")), "gzip");
    const table = await inflate(bytesOf(textOf("table")), "gzip");
    return new Data(JSON.parse(new TextDecoder().decode(head)), table.buffer);
  }

  // A named array of the table, or null.
  array(name) {
    if (!(name in this.views)) {
      const held = this.head.arrays[name];
      this.views[name] = held ? new TYPES[held[0]](this.buffer, held[1], held[2]) : null;
    }
    return this.views[name];
  }

  partOf(i) {
    let k = this.firsts.length - 1;
    while (this.firsts[k] > i) k--;
    return { ...this.head.parts[k], k, at: i - this.firsts[k] };
  }

  // The inflated piece of a cluster in a block of text, or null: pieces begin at multiples of
  // three bytes, so that the base64 of each is a part of the text.
  async piece(block, name, i) {
    const start = this.array(`${name}.starts`)[i];
    const length = this.array(`${name}.lengths`)[i];
    if (!length) return null;
    this.texts[block] ??= textOf(block);
    const text = this.texts[block].slice((start / 3) * 4, (start / 3 + Math.ceil(length / 3)) * 4);
    return inflate(bytesOf(text).subarray(0, length), "deflate-raw");
  }

  // Counts (band, y, x) of a cluster and what is hidden (y, x) or null; null if not in the page.
  async maps(i) {
    const raw = await this.piece("maps", "maps", i);
    if (!raw) return null;
    const { side, bands } = this.partOf(i);
    const size = bands.length * side * side;
    const counts = Float32Array.from(raw.subarray(1, 1 + size));
    let at = 1 + size;
    if (raw[0] & 1) {
      for (let k = 0; k < size; k++) counts[k] += 256 * raw[at + k];
      at += size;
    }
    const hidden = raw[0] & 2 ? raw.subarray(at, at + side * side) : null;
    return { counts, hidden, side, bands };
  }

  // What each pixel adds to ln M (y, x), or null.
  async attribution(k, i) {
    const raw = await this.piece(`attribution-${k}`, `attribution.${k}`, i);
    if (!raw) return null;
    const largest = this.array(`attribution.${k}.largest`)[i];
    const values = Float32Array.from(new Int8Array(raw.buffer), (q) =>
      Math.sign(q) * (q / 127) ** 2 * largest);
    return { values, side: this.head.attributions[k].side };
  }

  // Photons of a cluster within R500c by component and band, and the expected background by band.
  photons(i) {
    const part = this.partOf(i);
    const nBands = part.bands.length;
    const inside = this.array(`part.${part.k}.inside`);
    const expected = this.array(`part.${part.k}.expected`);
    const nComponents = Math.max(part.components.length, 1);
    const rows = [];
    for (let c = 0; c < nComponents; c++) {
      const at = (part.at * nComponents + c) * nBands;
      rows.push(Array.from(inside.subarray(at, at + nBands)));
    }
    const told = expected && Array.from(expected.subarray(part.at * nBands, (part.at + 1) * nBands));
    return { rows, expected: told };
  }

  // What an estimator says of a cluster, or null.
  estimate(k, i) {
    const name = `estimate.${k}`;
    const mean = this.array(`${name}.mean`)[i];
    if (!Number.isFinite(mean)) return null;
    const n = this.head.levels.length;
    const score = this.array(`${name}.score`);
    const limits = this.array(`${name}.limits`);
    const truth = this.array("truth");
    return {
      mean,
      std: this.array(`${name}.std`)[i],
      quantiles: Array.from(this.array(`${name}.quantiles`).subarray(i * n, (i + 1) * n)),
      score: score ? score[i] : NaN,
      limit: Boolean(limits && limits[i]),
      residual: truth ? mean - truth[i] : NaN,
    };
  }

  // The posterior over its peak at values of ln M: { lnM, density }.
  posterior(k, i) {
    const name = `estimate.${k}`;
    const held = this.estimate(k, i);
    const nodes = this.array(`${name}.nodes`);
    const n = this.head.nodes;
    const lnM = [];
    const density = [];
    let low = held.mean - 3.8 * held.std;
    let high = held.mean + 3.8 * held.std;
    if (nodes) {
      low = this.array(`${name}.low`)[i];
      high = this.array(`${name}.high`)[i];
    }
    for (let k = 0; k < n; k++) {
      const x = low + ((high - low) * k) / (n - 1);
      lnM.push(x);
      density.push(nodes ? nodes[i * n + k] / 255 : Math.exp(-(((x - held.mean) / held.std) ** 2) / 2));
    }
    return { lnM, density };
  }
}

// The quantities that can be axes, given the estimator that is shown.
function quantities(data, k) {
  const { head } = data;
  const list = [];
  const add = (key, label, unit, title, values, log = false) =>
    list.push({ key, label, unit, title, values, log });
  const name = `estimate.${k}`;
  const mean = data.array(`${name}.mean`);
  const std = data.array(`${name}.std`);
  const levels = head.levels.length;
  const middle = data.array(`${name}.quantiles`);
  const limits = data.array(`${name}.limits`);
  const predicted = Float32Array.from(mean, (_, i) =>
    Math.exp(middle[i * levels + (limits && limits[i] ? levels - 1 : (levels - 1) / 2)] - LN_1E14));
  if (head.truth) {
    const truth = data.array("truth");
    add("true", "true M500c", MSUN, "", Float32Array.from(truth, (v) => Math.exp(v - LN_1E14)), true);
    const residual = Float32Array.from(mean, (v, i) => v - truth[i]);
    add("residual", "residual", "Δ ln M500c", "", residual);
    add("pull", "residual over stated error", "σ", "", residual.map((v, i) => v / std[i]));
  }
  add("predicted", "predicted M500c", MSUN, "Median of the posterior.", predicted, true);
  add("std", "stated error", "standard deviation of ln M500c", "", std);
  const score = data.array(`${name}.score`);
  if (score) {
    add("score", "out-of-domain score", "flagged above 1",
      "How far the map is from those of the training.", score, true);
  }
  for (const property of head.properties) {
    if (!property.varies || (property.key === "m500c" && head.truth)) continue;
    const { key, label, unit, title, log } = property;
    add(key, label, unit, title, data.array(`property.${key}`), log);
  }
  return list;
}
