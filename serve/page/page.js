"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const store = "criticrm.tries", most = 12;
  let models = [], model = null, running = null;

  const el = (tag, name, text) => {
    const e = document.createElement(tag);
    if (name) e.className = name;
    if (text !== undefined) e.textContent = text;
    return e;
  };
  const svg = (tag, attrs) => {
    const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const k in attrs) e.setAttribute(k, attrs[k]);
    return e;
  };
  const show = (x) => x === null || x === undefined ? "–" : x.toFixed(Math.abs(x) < 10 ? 3 : 2).replace("-", "−");

  const brief = (x) => x === null ? "none" : String(Math.round(x * 100) / 100);

  // say puts a sentence where it is read out.
  const say = (text, bad) => { $("verdict").textContent = text; $("verdict").className = bad ? "bad" : ""; };

  // failure is the sentence of an error's body.
  const failure = (body, status) => (body && body.error && body.error.message) || "the server answered " + status;

  async function start() {
    try {
      const r = await fetch("v1/models");
      const body = await r.json();
      if (!r.ok) throw new Error(failure(body, r.status));
      models = body.data;
    } catch (e) {
      say("The server does not answer: " + e.message, true);
      return;
    }
    $("models").replaceChildren(...models.map((m) => el("option", "", m.id)));
    $("which").hidden = models.length < 2;
    choose(models[0]);
    $("seed").value = 0;
    tries();
  }

  // choose has a model judge, and what it is asked with by default.
  function choose(m) {
    model = m;
    $("models").value = m.id;
    const c = m.criticrm;
    $("model").textContent = m.id + " · " + (c.plain ? "rewards without critiques" : c.rewards ? "rewards behind critiques" : "critiques with scores, no reward head");
    $("sampling").style.display = c.plain ? "none" : "";
    $("samples").value = Math.min(c.max_samples, Math.max(c.samples, 4));
    $("samples").max = c.max_samples;
    $("temperature").value = Math.round(c.temperature * 1e6) / 1e6;
    $("tokens").value = c.max_tokens;
  }

  // card is the place of an answer's results.
  function card(i) {
    const name = "AB"[i], box = el("section", "card " + name.toLowerCase());
    const title = el("h2", "", "Answer " + name);
    const wins = el("span", "wins", "");
    title.append(wins);
    const reward = el("div", "reward", "…");
    const spread = svg("svg", { class: "spread", viewBox: "0 0 400 34", preserveAspectRatio: "none", role: "img" });
    const about = el("p", "soft", "");
    const list = el("ol", "critiques");
    box.append(title, reward, about, list);
    $("results").append(box);
    const rows = [];
    const row = (k) => {
      while (rows.length <= k) {
        const li = el("li"), text = el("p", "text writing", ""), note = el("p", "about", "");
        li.append(text, note);
        list.append(li);
        rows.push({ text, note });
      }
      return rows[k];
    };
    return { box, wins, reward, spread, about, row, list };
  }

  // drawSpread puts the rewards of an answer's critiques on a line, the same for both answers.
  function drawSpread(c, values, mean, lo, hi) {
    if (values.length < 2) return;
    const width = Math.max(200, Math.round(c.about.clientWidth || 400)), pad = 8;
    const at = (v) => hi > lo ? pad + (v - lo) / (hi - lo) * (width - 2 * pad) : width / 2;
    c.spread.setAttribute("viewBox", "0 0 " + width + " 34");
    c.spread.setAttribute("aria-label", "rewards of " + values.length + " critiques from " + show(Math.min(...values)) + " to " + show(Math.max(...values)));
    c.spread.append(svg("line", { x1: pad, x2: width - pad, y1: 11, y2: 11 }));
    for (const v of values) c.spread.append(svg("circle", { cx: at(v), cy: 11, r: 5 }));
    c.spread.append(svg("line", { class: "mean", x1: at(mean), x2: at(mean), y1: 2, y2: 20 }));
    const text = (x, anchor, v) => { const t = svg("text", { x, y: 32, "text-anchor": anchor }); t.textContent = show(v); c.spread.append(t); };
    text(pad - 4, "start", lo);
    text(width - pad + 4, "end", hi);
    c.about.before(c.spread);
  }

  const scores = (d) => d.critiques.map((z) => z.score).filter((s) => s !== null);

  // finish fills in what is known when all is there.
  function finish(out, cards) {
    const all = out.data.flatMap((d) => scores(d).concat(d.score === null ? [] : [d.score]));
    const lo = Math.min(...all), hi = Math.max(...all);
    out.data.forEach((d, i) => {
      const c = cards[i], s = scores(d);
      c.reward.textContent = show(d.score);
      c.reward.append(" ", el("span", "unit", d.reward === null ? "mean of its critiques' scores" : "reward"));
      const parts = [];
      if (s.length > 1) {
        const mean = s.reduce((a, b) => a + b, 0) / s.length;
        const sd = Math.sqrt(s.reduce((a, b) => a + (b - mean) ** 2, 0) / (s.length - 1));
        parts.push("± " + show(sd) + " over " + s.length + " critiques");
      }
      if (d.reward !== null && d.own_score !== null) parts.push("own score " + brief(d.own_score));
      if (d.plain) parts.push("read without critiques");
      if (d.shortened) parts.push("not all of it was read");
      c.about.textContent = parts.join(" · ");
      drawSpread(c, s, d.score, lo, hi);
    });
    if (out.data.length === 2 && out.data.every((d) => d.score !== null)) {
      const [a, b] = out.data, diff = a.score - b.score;
      if (diff === 0) say("A tie.");
      else {
        const w = diff > 0 ? 0 : 1, sa = scores(out.data[w]), sb = scores(out.data[1 - w]);
        let won = 0;
        for (const x of sa) for (const y of sb) won += x > y ? 1 : x === y ? 0.5 : 0;
        cards[w].wins.textContent = " · wins";
        say("Answer " + "AB"[w] + " wins by " + show(Math.abs(diff)) + (sa.length > 1 ? ", in " + won + " of " + sa.length * sb.length + " pairs of critiques" : "") + ".");
      }
    } else if (out.data.some((d) => d.score === null)) say("No critique ends in a score.");
    else say("Reward " + show(out.data[0].score) + ".");
    const u = out.usage;
    $("usage").textContent = u.prompt_tokens + " tokens read, " + u.completion_tokens + " written." + (out.notes ? " Note: " + out.notes.join("; ") + "." : "");
  }

  // events gives the data of server-sent events.
  async function* events(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += value;
      for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
        const line = rest.slice(0, end);
        if (line.startsWith("data: ")) yield line.slice(6);
      }
    }
  }

  async function judge(event) {
    event.preventDefault();
    if (running || !model) return;
    const responses = [$("a").value];
    if ($("b").value !== "") responses.push($("b").value);
    const ask = { model: model.id, prompt: $("prompt").value, responses, stream: true };
    if (!model.criticrm.plain) {
      ask.samples = Number($("samples").value);
      ask.temperature = Number($("temperature").value);
      ask.max_tokens = Number($("tokens").value);
      ask.seed = Number($("seed").value);
    }
    $("results").replaceChildren();
    $("results").className = responses.length > 1 ? "pair" : "pair single";
    $("usage").textContent = "";
    const cards = responses.map((_, i) => card(i));
    say(model.criticrm.plain ? "Reading …" : "Writing critiques …");
    running = new AbortController();
    $("go").disabled = true;
    $("stop").hidden = false;
    let out = null;
    try {
      const r = await fetch("v1/reward", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(ask), signal: running.signal });
      if (!r.ok) throw new Error(failure(await r.json().catch(() => null), r.status));
      for await (const data of events(r.body)) {
        if (data === "[DONE]") break;
        const x = JSON.parse(data);
        if (x.error) throw new Error(x.error.message);
        if (x.object === "critique.delta") cards[x.index].row(x.sample).text.textContent += x.text;
        else if (x.object === "reward") {
          x.critiques.forEach((z, k) => {
            const row = cards[x.index].row(k);
            row.text.textContent = z.text;
            row.text.classList.remove("writing");
            row.note.textContent = [z.reward === null ? null : "reward " + show(z.reward), "own score " + brief(z.own_score), z.tokens + " tokens", z.finish_reason === "length" ? "cut" : null].filter(Boolean).join(" · ");
          });
          cards[x.index].reward.textContent = show(x.score);
        } else if (x.object === "reward.list") out = x;
      }
      if (!out) throw new Error("the answer was cut off");
      finish(out, cards);
      remember({ model: ask.model, prompt: ask.prompt, responses, samples: ask.samples, temperature: ask.temperature, tokens: ask.max_tokens, seed: ask.seed, scores: out.data.map((d) => d.score) });
    } catch (e) {
      document.querySelectorAll(".writing").forEach((x) => x.classList.remove("writing"));
      say(e.name === "AbortError" ? "Stopped." : "Not judged: " + e.message, e.name !== "AbortError");
    } finally {
      running = null;
      $("go").disabled = false;
      $("stop").hidden = true;
    }
  }

  const load = () => {
    try {
      const list = JSON.parse(localStorage.getItem(store));
      return Array.isArray(list) ? list.filter((t) => t && typeof t.prompt === "string" && Array.isArray(t.responses)) : [];
    } catch { return []; }
  };
  const save = (list) => { try { localStorage.setItem(store, JSON.stringify(list)); } catch { /* no room, or not allowed: the page works without */ } };

  function remember(t) {
    const same = (x) => x.model === t.model && x.prompt === t.prompt && JSON.stringify(x.responses) === JSON.stringify(t.responses);
    save([t].concat(load().filter((x) => !same(x))).slice(0, most));
    tries();
  }

  function tries() {
    const list = load();
    $("past").hidden = list.length === 0;
    $("tries").replaceChildren(...list.map((t) => {
      const li = el("li"), scores = (t.scores || []).map(show).join(" : ");
      const b = el("button", "", (scores ? scores + " · " : "") + (models.length > 1 && t.model ? t.model + " · " : "") + t.prompt.replace(/\s+/g, " ").slice(0, 200));
      b.type = "button";
      b.addEventListener("click", () => {
        const m = models.find((m) => m.id === t.model);
        if (m) choose(m);
        $("prompt").value = t.prompt;
        $("a").value = t.responses[0] || "";
        $("b").value = t.responses[1] || "";
        for (const k of ["samples", "temperature", "tokens", "seed"]) if (t[k] !== undefined) $(k).value = t[k];
        $("prompt").focus();
      });
      li.append(b);
      return li;
    }));
  }

  $("form").addEventListener("submit", judge);
  $("form").addEventListener("keydown", (e) => { if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); $("form").requestSubmit(); } });
  $("models").addEventListener("change", () => choose(models.find((m) => m.id === $("models").value)));
  $("stop").addEventListener("click", () => running && running.abort());
  $("forget").addEventListener("click", () => { try { localStorage.removeItem(store); } catch { /* nothing is kept then */ } tries(); });
  start();
})();
