// The progress page: the hub's event stream, without any of the hub's own modules, which differ by version.
/* global farlabTimes -- of times.js, which the page holds too */
(function () {
  "use strict";
  const page = document.getElementById("fl-progress");
  if (!page) return;
  const byId = (id) => document.getElementById(id);
  const order = ["requested", "submitted", "queued", "starting", "ready"];
  const stages = Object.fromEntries(order.map((name) => [name, page.querySelector(`[data-stage="${name}"]`)]));
  const cancel = byId("fl-cancel");
  const ask = byId("fl-ask");
  let current = "requested";
  let cancelling = false;
  let over = false;

  function clock(seconds) {
    const when = seconds ? new Date(seconds * 1000) : new Date();
    return when.toLocaleTimeString();
  }

  function logEvent(text, seconds) {
    const line = document.createElement("li");
    const time = document.createElement("time");
    const words = document.createElement("span");
    time.textContent = clock(seconds);
    words.textContent = text;
    line.append(time, words);
    byId("progress-log").append(line);
  }

  function reach(name) {
    const to = order.indexOf(name);
    for (const [index, key] of order.entries()) {
      const item = stages[key];
      item.classList.toggle("is-done", index < to);
      item.classList.toggle("is-now", index === to);
      item.classList.toggle("is-later", index > to);
      item.querySelector(".fl-name").textContent = index < to ? item.dataset.done : item.dataset.now;
      if (index === to) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    }
    current = name;
  }

  function show(event) {
    const step = event.farlab;
    if (!step) {
      if (event.message) logEvent(event.message);
      return;
    }
    const item = stages[step.stage];
    if (item) {
      if (step.stage !== current) byId("fl-say").textContent = event.message;
      reach(step.stage);
      item.querySelector(".fl-detail").textContent = step.detail;
      item.querySelector(".fl-at").textContent = clock(step.time);
      if (step.job_id) stages.submitted.querySelector(".fl-detail").textContent = `Job ${step.job_id}`;
    }
    byId("fl-log").hidden = !step.log;
    const log = byId("fl-log").querySelector("pre");
    if (log.textContent !== step.log) {
      log.textContent = step.log;
      log.scrollTop = log.scrollHeight;
    }
    logEvent(event.message, step.time);
  }

  function toForm() {
    window.location.href = page.dataset.form;
  }

  function fail(event) {
    over = true;
    if (cancelling) return toForm();
    const box = byId("fl-failed");
    if (event.html_message) box.innerHTML = event.html_message; // made and escaped by the hub
    else box.textContent = event.message;
    farlabTimes(box);
    box.hidden = false;
    stages[current].classList.add("is-failed");
    byId("fl-title").textContent = "The server did not start";
    document.title = "Not started";
    cancel.hidden = true;
    byId("fl-log").hidden = true; // the message has it
    byId("fl-note").textContent = "Your choice is kept on the form.";
    byId("fl-back").hidden = false;
    box.focus();
    logEvent(box.textContent.trim().replace(/\s+/g, " "));
  }

  function follow() {
    const events = new EventSource(page.dataset.events);
    events.onmessage = (message) => {
      const event = JSON.parse(message.data);
      if (event.ready) {
        over = true;
        events.close();
        reach("ready");
        window.location.reload(); // the hub sends us on to the server
      } else if (event.failed) {
        events.close();
        fail(event);
      } else {
        show(event);
      }
    };
    events.onerror = () => {
      // The browser tries again by itself unless the hub has refused: after a restart, say.
      if (events.readyState === EventSource.CLOSED && !over) window.setTimeout(() => window.location.reload(), 3000);
    };
    // A stream that is broken off begins again from the first event.
    events.onopen = () => byId("progress-log").replaceChildren();
  }

  async function stop() {
    cancelling = true;
    cancel.disabled = true;
    cancel.textContent = "Cancelling …";
    byId("fl-say").textContent = "Cancelling the start.";
    try {
      const url = page.dataset.api + "?_xsrf=" + encodeURIComponent(page.dataset.xsrf);
      const answer = await fetch(url, { method: "DELETE", headers: { "X-XSRFToken": page.dataset.xsrf } });
      if (!answer.ok) throw new Error((await answer.json()).message || answer.statusText);
      over = true;
      toForm();
    } catch (error) {
      cancelling = false;
      cancel.disabled = false;
      cancel.textContent = "Cancel";
      byId("fl-note").textContent = "It could not be cancelled: " + error.message + ". Try again.";
    }
  }

  cancel.addEventListener("click", () => ask.showModal());
  ask.addEventListener("close", () => {
    if (ask.returnValue === "yes") stop();
  });
  follow();
})();
