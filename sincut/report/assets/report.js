"use strict";
// What comes from the data goes into the page as text or as an attribute of a known element, never as HTML.
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const root = document.documentElement;

  function el(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }
  const number = (value) => (value == null ? "–" : value.toLocaleString("en", { maximumSignificantDigits: 4 }));
  const whole = (value) => value.toLocaleString("en");
  const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
  function clock(seconds) {
    const all = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
    if (all < 60) return `${all} s`;
    if (all < 3600) return `${Math.floor(all / 60)}:${two(all % 60)} min`;
    return `${Math.floor(all / 3600)}:${two(Math.floor((all % 3600) / 60))} h`;
  }
  function day(text) {
    const date = new Date(text);
    return isNaN(date) ? text : date.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
  }
  const worded = (text) => text.split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part)); // `name` as code
  function facts(list, rows) {
    for (const [name, value] of rows) list.append(el("dt", {}, name), el("dd", {}, value));
  }
  function table(titles, rows, caption) {
    const head = el("tr", {}, ...titles.map((t, i) => el("th", { scope: "col", class: i ? "number" : "" }, t)));
    const body = rows.map((row) => el("tr", {}, ...row.map((cell) => el("td", { class: "number" }, cell))));
    return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      el("table", { class: "plain" }, el("caption", { class: "hidden" }, caption), el("thead", {}, head), el("tbody", {}, ...body)));
  }

  const [source, target] = data.roles;

  // ---- light and dark
  const redraw = [];
  function theming() {
    const button = $("theme"), choices = ["auto", "light", "dark"];
    let chosen = "auto";
    try { chosen = localStorage.getItem("sincut-theme") || "auto"; } catch { /* a page from a file may have none */ }
    if (!choices.includes(chosen)) chosen = "auto";
    function show() {
      if (chosen === "auto") delete root.dataset.theme; else root.dataset.theme = chosen;
      button.textContent = `Theme: ${chosen}`;
      for (const again of redraw) again();
    }
    button.addEventListener("click", () => {
      chosen = choices[(choices.indexOf(chosen) + 1) % choices.length];
      try { localStorage.setItem("sincut-theme", chosen); } catch { /* then it holds until the page is closed */ }
      show();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
    button.hidden = false;
    show();
  }

  // ---- title and state
  function heading() {
    $("title").append(data.names[source], " ", el("span", { class: "arrow" }, "→"), " ", data.names[target]);
    const { kind, step, steps, seconds, left } = data.state, line = $("state");
    const words = { finished: "Finished", "going on": "Going on when this page was written", stopped: "Not at its end" };
    const classes = { finished: "", "going on": " going", stopped: " stopped" };
    line.append(el("span", { class: "pill" + classes[kind] }, words[kind]));
    const done = kind === "finished" || !steps ? `${whole(step)} steps` : `step ${whole(step)} of ${whole(steps)}`;
    const parts = [done, clock(seconds), ...(kind === "going on" && left ? [`about ${clock(left)} left`] : [])];
    line.append(el("span", {}, parts.join(" · ")));
    if (kind === "going on") {
      const again = el("button", { type: "button", class: "quiet" }, "Reload");
      again.addEventListener("click", () => location.reload());
      line.append(again);
    }
    $("notes").append(...data.warnings.map((text) => el("li", {}, capital(text))));
    $("notes").hidden = !data.warnings.length;
    $("foot").append(`Written ${day(data.written)} by sincut ${data.sincut}. One file, nothing is loaded from anywhere. Curves by uPlot (MIT licence).`);
  }

  // ---- before and after
  function comparison() {
    const { source: before, result: after, target: look, fast } = data.pictures;
    if (fast) {
      $("fast").hidden = false;
      $("fast-picture").src = fast.src;
      $("fast-picture").width = fast.width;
      $("fast-picture").height = fast.height;
      $("fast-picture").alt = `The ${source} as the network alone translates it`;
      $("fast-caption").textContent = `The same by the network alone, as sincut apply --fast gives it: above, it is drawn from patches of the ${target}. Figures and previews below are of this one.`;
    }
    if (look) {
      $("look").src = look.src;
      $("look").alt = `The ${target} whose look was learned: ${data.names[target]}`;
      $("look-caption").textContent = `The ${target} whose look is learned: ${data.names[target]}${look.thumbnail ? " (the small copy in the model file)" : ""}`;
    } else $("look").closest("figure").hidden = true;
    const main = after || before, shownName = before?.name || data.names[source];
    if (!main || !main.width) {
      $("result").hidden = !main && !look;
      $("frame").closest("figure").hidden = true;
      $("zoom").hidden = true;
      return;
    }
    const frame = $("frame"), stage = $("stage"), sheet = $("sheet"), divider = $("divider"), split = $("split");
    const both = before && after;
    $("after").src = main.src;
    $("after").alt = after ? `The ${source} translated, after step ${whole(after.step ?? data.state.step)}` : `The ${source}`;
    stage.setAttribute("aria-label", both ? `The ${source} on the left, its translation on the right` : `The ${source}`);
    if (both) {
      $("before").src = before.src;
      $("before").alt = `The ${source}: ${shownName}`;
    }
    for (const id of ["before", "divider", "tag-before", "tag-after"]) $(id).hidden = !both;
    split.parentElement.hidden = !both;
    $("tag-before").textContent = $("split-left").textContent = source;
    $("tag-after").textContent = $("split-right").textContent = "translation";
    split.setAttribute("aria-label", `Share of the picture that shows the ${source} instead of its translation`);
    const shares = before && before.thumbnail ? ` Only a small copy of the ${source} is at hand; sincut report RUN --${source} FILE shows it whole.` : "";
    const scale = main.width && before && before.full > main.width ? `, scaled to ${Math.round((100 * main.width) / before.full)} % of the file` : "";
    $("result-caption").textContent = `${shownName}, ${main.width} × ${main.height} px here${scale}.${shares}${after ? "" : " There is no preview yet."}`;

    let zoom = "fit", factor = 1;
    function lay() { // the sheet at its size, then the divider
      const most = Math.max(240, innerHeight * 0.82);
      factor = zoom === "fit" ? Math.min(stage.clientWidth / main.width, most / main.height) : Number(zoom);
      sheet.style.width = `${main.width * factor}px`;
      sheet.style.height = `${main.height * factor}px`;
      stage.style.maxHeight = zoom === "fit" ? "none" : "82vh";
      divide();
    }
    function visible() { // of the sheet, in px from the frame's left
      const outer = stage.getBoundingClientRect(), inner = sheet.getBoundingClientRect();
      const left = Math.max(inner.left, outer.left), right = Math.min(inner.right, outer.left + stage.clientWidth);
      return { left: left - outer.left, right: right - outer.left, sheet: inner.left - outer.left };
    }
    function divide() {
      if (!both) return;
      const { left, right, sheet: start } = visible();
      const x = left + (split.value / 100) * (right - left);
      divider.style.left = `${x}px`;
      $("before").style.clipPath = `inset(0 ${main.width * factor - (x - start)}px 0 0)`;
      split.setAttribute("aria-valuetext", `${source} ${split.value} %, translation ${100 - split.value} %`);
      $("tag-before").style.opacity = x - left < 70 ? 0 : 1;
      $("tag-after").style.opacity = right - x < 90 ? 0 : 1;
      $("tag-before").style.left = `${left + 12}px`;
      $("tag-after").style.right = `${frame.clientWidth - right + 12}px`;
    }
    function slideTo(clientX) {
      const { left, right } = visible(), x = clientX - frame.getBoundingClientRect().left;
      split.value = Math.round((100 * (x - left)) / (right - left));
      divide();
    }
    function zoomTo(value, clientX, clientY) { // the point under the pointer, or the middle, stays where it is
      const outer = stage.getBoundingClientRect(), inner = sheet.getBoundingClientRect(), old = factor;
      const x = clientX ?? outer.left + outer.width / 2, y = clientY ?? outer.top + outer.height / 2;
      const at = [(x - inner.left) / old, (y - inner.top) / old];
      zoom = value;
      frame.classList.toggle("zoomed", zoom !== "fit");
      lay();
      const now = stage.getBoundingClientRect();
      stage.scrollLeft = at[0] * factor - (clientX === undefined ? now.width / 2 : x - now.left);
      stage.scrollTop = at[1] * factor - (clientY === undefined ? now.height / 2 : y - now.top);
      divide();
    }
    for (const radio of document.getElementsByName("zoom")) {
      if (radio.checked && radio.value !== "fit") zoomTo(radio.value); // as a reload leaves it
      radio.addEventListener("change", () => zoomTo(radio.value));
    }
    stage.addEventListener("dblclick", (event) => {
      const value = zoom === "fit" ? "1" : "fit";
      document.querySelector(`input[name=zoom][value="${value}"]`).checked = true;
      zoomTo(value, event.clientX, event.clientY);
    });
    split.addEventListener("input", divide);
    stage.addEventListener("scroll", divide);
    let held = null;
    frame.addEventListener("pointerdown", (event) => {
      if (event.button || !both && zoom === "fit") return;
      const sliding = both && (zoom === "fit" || divider.contains(event.target));
      const onBar = event.target === stage && event.offsetX > stage.clientWidth || event.offsetY > stage.clientHeight && event.target === stage;
      if (onBar || !sliding && event.pointerType !== "mouse") return; // fingers scroll by themselves
      held = { sliding, x: event.clientX, y: event.clientY, left: stage.scrollLeft, top: stage.scrollTop };
      frame.setPointerCapture(event.pointerId);
      frame.classList.toggle("panning", !sliding);
      if (sliding) slideTo(event.clientX);
    });
    frame.addEventListener("pointermove", (event) => {
      if (!held) return;
      if (held.sliding) return slideTo(event.clientX);
      stage.scrollLeft = held.left - (event.clientX - held.x);
      stage.scrollTop = held.top - (event.clientY - held.y);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      frame.addEventListener(name, () => { held = null; frame.classList.remove("panning"); });
    }
    new ResizeObserver(lay).observe(frame);
    lay();
  }

  // ---- sets of pictures: the first few of each
  function sets() {
    $("sets").hidden = !data.sets.length;
    for (const { role, count, pictures } of data.sets) {
      const row = el("div", { class: "thumbnails" }, ...pictures.map((p) =>
        el("figure", {}, el("img", { src: p.src, width: p.width, height: p.height, alt: p.name }), el("figcaption", {}, p.name))));
      const more = count - pictures.length;
      $("sets-pictures").append(el("h3", {}, `${whole(count)} ${role}s`), row,
        ...(more ? [el("p", { class: "dim" }, `and ${whole(more)} more`)] : []));
    }
  }

  // ---- previews
  function timeline() {
    const frames = data.timeline;
    if (!frames.length) return;
    $("timeline").hidden = false;
    const scrub = $("scrub"), list = $("frame-figures"), about = {};
    for (const curve of data.figures.curves) about[curve.name] = curve.about;
    scrub.max = frames.length - 1;
    scrub.parentElement.hidden = frames.length < 2;
    scrub.value = frames.length - 1;
    function show() {
      const frame = frames[scrub.value], picture = $("frame-picture");
      picture.src = frame.src;
      picture.width = frame.width;
      picture.height = frame.height;
      picture.alt = `The ${source} translated, after step ${whole(frame.step)}`;
      $("frame-step").textContent = `Step ${whole(frame.step)}`;
      const planned = data.state.steps ? `${Math.round((100 * frame.step) / data.state.steps)} % of the training, ` : "";
      $("frame-where").textContent = `${planned}preview ${Number(scrub.value) + 1} of ${frames.length}`;
      scrub.setAttribute("aria-valuetext", `step ${whole(frame.step)}`);
      list.replaceChildren(...Object.entries(frame.figures).map(([name, value]) =>
        el("div", {}, el("dt", {}, capital(name)), el("dd", {}, number(value)), el("dd", { class: "about" }, about[name] || ""))));
    }
    scrub.addEventListener("input", show);
    show();
  }

  // ---- curves
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const dashes = [[], [7, 4], [2, 3], [10, 3, 2, 3]]; // so that colour is not all that tells them apart
  function chart(title, what, { steps, curves }) {
    if (!curves.length) return;
    const values = curves.map((curve) => curve.values);
    const seen = values.flat().filter((value) => value != null);
    const log = title === "Losses" && seen.every((value) => value > 0) && Math.max(...seen) > 8 * Math.min(...seen);
    const host = el("div", { class: "plot", tabindex: "0", role: "slider", "aria-label": `${title} over the steps`, "aria-valuemin": "0", "aria-valuemax": steps.length - 1 });
    const say = (index) => {
      host.setAttribute("aria-valuenow", index);
      host.setAttribute("aria-valuetext", `step ${whole(steps[index])}: ${curves.map((c) => `${c.name} ${number(c.values[index])}`).join(", ")}`);
    };
    const card = el("div", { class: "chart" }, el("h3", {}, log ? `${title}, logarithmic` : title), host);
    $("charts").append(card);
    const axis = { stroke: () => css("--soft"), grid: { stroke: () => css("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const value = (_, v) => number(v);
    const decades = (_, ticks) => ticks.map((t) => (Math.abs(Math.log10(t) - Math.round(Math.log10(t))) < 1e-6 ? t : null));
    const ends = (plot) => plot.cursor.idx == null && plot.setLegend({ idx: steps.length - 1 }, false); // nothing pointed at
    const plot = new uPlot({
      width: Math.max(240, host.clientWidth), height: 250, padding: [10, 14, 0, 0],
      scales: { x: { time: false }, y: log ? { distr: 3 } : {} },
      axes: [{ ...axis, size: 34, values: (_, ticks) => ticks.map((t) => (Number.isInteger(t) ? whole(t) : "")) }, { ...axis, size: 48, grid: { ...axis.grid, ...(log ? { filter: decades } : {}) }, values: (_, ticks) => ticks.map((t) => (t == null ? "" : number(t))) }],
      hooks: { ready: [ends], setCursor: [ends] },
      cursor: { points: { size: 7 }, focus: { prox: 24 } },
      series: [{ label: "step", value }, ...curves.map((curve, i) => ({
        label: curve.name, value, width: 1.75, dash: dashes[Math.floor(i / 2) % dashes.length], spanGaps: true,
        stroke: () => css(`--c${i % 8}`), points: { show: steps.length < 40, size: 5, fill: () => css(`--c${i % 8}`) },
      }))],
    }, [steps, ...values], host);
    for (const [i, curve] of curves.entries()) {
      const row = plot.root.querySelectorAll(".u-series")[i + 1];
      const name = row && row.querySelector("th");
      if (!name) continue;
      if (curve.about) name.title = curve.about;
      name.tabIndex = 0; // a click on a name hides its curve, and so does Enter
      name.setAttribute("role", "button");
      name.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); event.stopPropagation(); name.click(); }
      });
    }
    host.after(plot.root.querySelector(".u-legend")); // a slider holds nothing that takes the focus
    let at = steps.length - 1;
    say(at);
    function read(index) {
      at = Math.min(steps.length - 1, Math.max(0, index));
      plot.setCursor({ left: plot.valToPos(steps[at], "x"), top: plot.over.clientHeight / 2 });
      say(at);
    }
    host.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - 10, PageDown: at + 10, Home: 0, End: steps.length - 1 }[event.key];
      if (move === undefined) return;
      event.preventDefault();
      read(move);
    });
    new ResizeObserver(() => plot.setSize({ width: Math.max(240, host.clientWidth), height: 250 })).observe(host);
    redraw.push(() => plot.redraw(false));
    const every = Math.ceil(steps.length / 24); // of the points, in the table
    const rows = steps.map((step, i) => [whole(step), ...values.map((v) => number(v[i]))]);
    const some = rows.filter((_, i) => i % every === 0 || i === rows.length - 1);
    card.append(el("details", {}, el("summary", {}, "As a table"), table(["Step", ...curves.map((c) => c.name)], some, what)));
  }
  function charts() {
    $("curves").hidden = !data.losses.curves.length && !data.figures.curves.length;
    chart("Losses", "Losses by step", data.losses);
    chart("Figures of the previews", "Figures by step", data.figures);
  }

  // ---- commands
  async function copy(text, code) {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // pages from files may not write there; the old way may
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
    }
  }
  function commands() {
    for (const { label, text, note } of data.commands) {
      const code = el("code", { tabindex: "0", role: "region", "aria-label": label }, text);
      const button = el("button", { type: "button", class: "quiet copy", "aria-label": `Copy: ${label}` }, "Copy");
      button.addEventListener("click", async () => {
        await copy(text, code);
        button.textContent = "Copied";
        $("copied").textContent = `Copied: ${label}`;
        setTimeout(() => { button.textContent = "Copy"; $("copied").textContent = ""; }, 2000);
      });
      const words = el("div", {}, el("p", {}, label), ...(note ? [el("p", { class: "dim" }, note)] : []));
      $("commands").append(el("div", { class: "command" }, words, code, button));
    }
  }

  // ---- settings, provenance, machine
  function settings() {
    const host = $("settings"), changed = data.settings.filter((row) => row.changed);
    const cells = (row, name) => [el("th", { scope: "row" }, el("code", {}, name)), el("td", { class: "value" }, el("code", {}, row.value))];
    function rowsOf(list, name, more) {
      return list.map((row) => el("tr", {}, ...cells(row, name(row)), ...more(row), el("td", { class: "doc" }, ...worded(row.doc))));
    }
    const head = (...titles) => el("thead", {}, el("tr", {}, ...titles.map((t) => el("th", { scope: "col" }, t))));
    const scroll = (inside, name) => el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, inside);
    host.append(el("p", { class: "dim" }, changed.length ? `As the preset ${data.preset} has them, but for:` : `As the preset ${data.preset} has them.`));
    if (changed.length) {
      const rows = rowsOf(changed, (row) => `${row.section}.${row.key}`, (row) => [el("td", { class: "value" }, el("code", {}, row.preset))]);
      host.append(scroll(el("table", { class: "plain" }, head("Setting", "Here", "Preset", "Meaning"), el("tbody", {}, ...rows)), "Settings that differ"));
    }
    const all = el("table", { class: "plain" }, head("Setting", "Value", "Meaning"));
    for (const section of new Set(data.settings.map((row) => row.section))) {
      const title = el("tr", {}, el("th", { colspan: "3", scope: "rowgroup" }, capital(section)));
      const rows = rowsOf(data.settings.filter((row) => row.section === section), (row) => row.key, () => []);
      all.append(el("tbody", { class: "group" }, title, ...rows));
    }
    host.append(el("details", {}, el("summary", {}, `All ${data.settings.length} settings`), scroll(all, "All settings")));
  }
  function origin() {
    for (const input of data.inputs) {
      $("inputs").append(el("div", { class: "input" }, el("h3", {}, capital(input.role)),
        el("p", {}, `${input.name}, ${input.size}`), el("p", { class: "mono" }, `SHA-256 ${input.sha256}`)));
    }
    facts($("origin"), data.origin);
    facts($("machine"), [["Time", clock(data.state.seconds)], ...data.machine]);
    if (data.sessions.length > 1) {
      const rows = data.sessions.map((session) => [session.step, day(session.time), session.device]);
      $("sessions").append(el("h3", {}, "Begun and gone on"), table(["After step", "When", "Device"], rows, "Sessions"));
    }
  }

  heading();
  comparison();
  sets();
  timeline();
  charts();
  commands();
  settings();
  origin();
  theming();
})();
