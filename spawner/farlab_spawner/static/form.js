// The spawn form: summary, live hints and inline checks. Without it the form works all the same.
(function () {
  "use strict";
  const root = document.getElementById("fl-form");
  const form = root && root.closest("form");
  if (!form) return;
  const summary = document.getElementById("fl-summary");
  const start = document.getElementById("fl-start");

  function localTime(epoch) {
    return new Date(Number(epoch) * 1000).toLocaleTimeString([], { timeStyle: "short" });
  }

  function chosenSite() {
    const radio = form.querySelector('input[name="farlab-site"]:checked');
    return radio && radio.closest(".fl-site");
  }

  function chosenProfile(site) {
    const radio = site.querySelector(".fl-profile-choice input:checked");
    return radio ? radio.closest(".fl-option").querySelector(".fl-profile") : site.querySelector(".fl-profile");
  }

  function textOf(field) {
    const select = field.querySelector("select");
    if (select) return select.selectedOptions[0].textContent;
    const only = field.querySelector('input[type="hidden"]');
    return only ? only.dataset.title : "";
  }

  function limitOf(profile) {
    const given = [...profile.querySelectorAll("select")]
      .map((select) => select.selectedOptions[0].dataset.limit)
      .concat([...profile.querySelectorAll('input[type="hidden"]')].map((only) => only.dataset.limit));
    return given.find(Boolean) || profile.dataset.limit;
  }

  function figure(number) {
    return String(Number(number.toPrecision(4)));
  }

  function units(number, unit) {
    return figure(number) + " " + (figure(number) === "1" ? unit.replace(/s$/, "") : unit);
  }

  function moment(epoch) {
    return new Date(epoch * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  }

  // What the choice allocates, and for how many hours at most; 0: without an end.
  function taken(profile) {
    const chosen = [...profile.querySelectorAll("select")]
      .map((select) => select.selectedOptions[0].dataset)
      .concat([...profile.querySelectorAll('input[type="hidden"]')].map((only) => only.dataset));
    const sum = (name) => chosen.reduce((sofar, data) => sofar + Number(data[name] || 0), 0);
    const partition = chosen.find((data) => data.seconds);
    const seconds = Number((partition || profile.dataset).seconds || 0);
    return { core: sum("cores"), gpu: sum("gpus"), gib: sum("gib"), hours: seconds / 3600 };
  }

  // The hub's service decides when the server is started; without an end it counts an hour.
  function costOf(budget, { core, gpu, gib, hours }) {
    const { weights } = budget;
    const hourly = weights.core * core + weights.gpu * gpu + weights.gib * gib + weights.cpu * core;
    return hourly * (hours || 1);
  }

  function about(budget, use) {
    const cost = costOf(budget, use);
    const name = budget.group ? budget.name + ", " + budget.group : budget.name;
    const left = figure(budget.left) + " of " + units(budget.amount, budget.unit) + " left (" + name + ")";
    const own = ["core-hours", "gpu-hours"].includes(budget.unit) ? "" : (use.hours ? "takes up to " : "takes in each hour ") + units(cost, budget.unit) + "; ";
    if (cost > budget.left + 1e-6) return { tone: "off", text: "No room: " + own + left + ". " + roomFor(budget, cost) };
    const isNearlyUsed = cost > 0 && budget.amount - budget.left + cost >= 0.8 * budget.amount;
    if (isNearlyUsed) return { tone: "warn", text: own + left + "; after it over 80 % may be used" };
    return { tone: "ok", text: own + left };
  }

  function roomFor(budget, cost) {
    if (cost > budget.amount) return "It is more than the whole budget: choose less.";
    const later = budget.coming.find(([, left]) => cost <= left + 1e-6);
    return later ? "There is room from " + moment(later[0]) + ", or for less." : "Choose less, or end something that runs.";
  }

  function showUse(site, profile) {
    const list = document.getElementById("fl-use");
    const use = taken(profile);
    const hours = use.hours || 1;
    const parts = [units(use.core * hours, "core-hours")];
    if (use.gpu) parts.push(units(use.gpu * hours, "GPU-hours"));
    const total = (use.hours ? "will use up to " : "will use in each hour ") + parts.join(" and ");
    const budgets = JSON.parse(site.dataset.budgets || "[]").map((budget) => about(budget, use));
    const lines = [{ tone: "", text: total }, ...budgets].map(({ tone, text }) => {
      const line = document.createElement("li");
      line.textContent = text;
      if (tone) line.className = "is-" + tone;
      return line;
    });
    const said = lines.map((line) => line.outerHTML).join("");
    if (list.innerHTML !== said) list.replaceChildren(...lines);
    list.hidden = false;
  }

  // The server checks again; `pattern` is not used because browsers read it by stricter rules.
  function wrongWith(other) {
    const image = other.value.trim();
    if (!image) return "Type an image, or choose one from the list.";
    if (/\s/.test(image)) return "An image has no spaces in it.";
    if (other.dataset.path && !image.startsWith("/")) return "Type an absolute path: it starts with /.";
    try {
      if (other.dataset.allow && !new RegExp("^(?:" + other.dataset.allow + ")$").test(image))
        return "This image is not allowed here: it must match " + other.dataset.allow;
    } catch {
      return ""; // Python's syntax, not the browser's
    }
    return "";
  }

  function check(other, wanted) {
    const problem = document.getElementById(other.id + "-problem");
    const text = wanted ? wrongWith(other) : "";
    other.required = wanted;
    other.setCustomValidity(text);
    const shown = other.dataset.touched ? text : "";
    if (problem.textContent !== shown) problem.textContent = shown;
    if (shown) other.setAttribute("aria-invalid", "true");
    else other.removeAttribute("aria-invalid");
  }

  function update() {
    const site = chosenSite();
    for (const other of form.querySelectorAll(".fl-other input")) {
      const image = other.closest(".fl-other").previousElementSibling.querySelector("select");
      const profile = other.closest(".fl-profile");
      const visible = Boolean(site && site.contains(profile) && profile === chosenProfile(site));
      const wanted = visible && Boolean(image) && image.value === "unlisted-choice";
      other.disabled = !wanted; // a field that is not asked for must not stop the form
      check(other, wanted);
    }
    if (!site) return;
    const profile = chosenProfile(site);
    for (const select of profile.querySelectorAll("select[aria-describedby]")) {
      const data = select.selectedOptions[0].dataset;
      const start = data.start ? "start expected about " + localTime(data.start) : "";
      document.getElementById(select.id + "-hint").textContent = [data.hint, start, data.limit].filter(Boolean).join(", ");
    }
    const parts = [...profile.querySelectorAll(".fl-field:not(.fl-other)")].map(textOf);
    const other = profile.querySelector(".fl-other input");
    if (other && other.required) parts[parts.length - 1] = other.value.trim() || "other image";
    const where = document.createElement("strong");
    where.textContent = site.dataset.title + " · " + profile.dataset.title;
    summary.replaceChildren(where, [...parts, limitOf(profile)].join(" · "));
    summary.hidden = false;
    showUse(site, profile);
    start.textContent = "Start";
  }

  form.addEventListener("input", update);
  form.addEventListener("change", update);
  form.addEventListener("focusout", (event) => {
    if (event.target.matches(".fl-other input")) {
      event.target.dataset.touched = "yes";
      update();
    }
  });
  form.addEventListener("invalid", (event) => {
    if (event.target.matches(".fl-other input")) {
      event.target.dataset.touched = "yes";
      update();
    }
  }, true);
  form.addEventListener("submit", () => {
    start.disabled = true;
    start.textContent = "Starting …";
    start.setAttribute("aria-busy", "true");
  });
  // A page that comes back from the browser's history keeps its button as it was left.
  window.addEventListener("pageshow", () => {
    start.disabled = !chosenSite();
    start.textContent = "Start";
    start.removeAttribute("aria-busy");
    update();
  });
  update();
})();
