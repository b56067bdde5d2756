// The upload panel: each file is followed until search finds it, or until it says why not.
//
// A job is one file. Its `state` is one of STATES; what is shown of it follows from that alone.
"use strict";

const AT_ONCE = 2; // files on their way at a time
const SHOWN_AT_ONCE = 50; // files that are added to the list in one frame
const POLL = 2000; // milliseconds between two questions for how far the server is
const STATES = ["waiting", "sending", "stored", "ready", "duplicate", "failed", "refused", "skipped", "cancelled"];

function startUploads(form) {
  const panel = document.getElementById("uploads");
  const list = panel.querySelector("ul");
  const title = panel.querySelector("h2");
  const decision = document.getElementById("duplicates");
  const unsent = document.getElementById("unsent");
  const inputs = [...form.querySelectorAll("input[type=file]")];
  const api = form.dataset.api;
  const memory = `lumikb-unsent ${form.action}`;
  const token = form.elements.csrfmiddlewaretoken.value;
  let jobs = [];
  let polling = 0;
  let drawing = false;

  for (const input of inputs) {
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = ""; // the same file may be chosen again
      // A task of its own: that of the browser, which makes the files, is long enough.
      setTimeout(() => add(files.map((file) => ({ file, folder: folderOf(file.webkitRelativePath) }))));
    });
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  panel.addEventListener("click", onClick);
  decision.addEventListener("click", onDecision);
  window.addEventListener("beforeunload", (event) => {
    if (jobs.some(isUnsent)) event.preventDefault();
  });
  acceptDrops(form, add);
  nameWhatWasNotSent();

  function add(chosen) {
    const added = chosen.map(newJob);
    jobs = jobs.concat(added);
    show(added);
    panel.hidden = !jobs.length;
    remember();
    next();
  }

  function newJob({ file, folder }) {
    const job = { file, folder, name: file.name, state: "waiting", sentence: "Waiting to be sent…" };
    job.item = document.createElement("li");
    job.item.job = job;
    if (file.size > Number(form.dataset.maxBytes)) {
      job.state = "refused";
      job.sentence = `The file is larger than ${form.dataset.maxSize}, the most that is accepted.`;
    }
    return job;
  }

  // Some in each frame: the page answers while ten thousand files are listed.
  function show(added) {
    const now = added.splice(0, SHOWN_AT_ONCE);
    now.forEach(draw);
    list.append(...now.map((job) => job.item));
    if (added.length) requestAnimationFrame(() => show(added));
  }

  function isUnsent(job) {
    return job.state === "waiting" || job.state === "sending";
  }

  // --- Sending

  function next() {
    let active = jobs.filter((job) => job.state === "sending").length;
    for (const job of jobs) {
      if (active >= AT_ONCE) break;
      if (job.state !== "waiting") continue;
      active += 1;
      send(job);
    }
    redraw();
  }

  async function send(job) {
    set(job, "sending", "Sending…");
    const body = new FormData();
    body.append("file", job.file, job.name);
    if (!job.replaces) body.append("tags", tagsOf(job));
    const url = job.replaces ? `${form.dataset.documents}${job.replaces}/file` : api;
    const answer = await request(job.replaces ? "PUT" : "POST", url, body, job);
    job.abort = null;
    if (job.state === "cancelled") return;
    settle(job, answer);
    remember();
    next();
  }

  function settle(job, answer) {
    const error = answer.json?.error;
    if (answer.status === 201) {
      job.id = answer.json.id;
      set(job, "stored", "Stored; it waits to be processed.");
      document.body.dispatchEvent(new Event("documents-changed"));
      poll();
    } else if (error?.code === "duplicate_filename" && error.details.document_id) {
      job.existing = error.details;
      if (job.keepBoth) {
        job.name = numbered(job.file.name, (job.number = (job.number ?? 1) + 1));
        set(job, "waiting", "Waiting to be sent…");
      } else {
        set(job, "duplicate", `${error.message} Above, choose what becomes of it.`);
      }
    } else {
      set(job, "refused", sentenceOf(answer));
      job.mayRetry = answer.status === 0 || answer.status >= 500 || ["duplicate_filename", "limit_reached"].includes(error?.code);
      draw(job);
    }
  }

  // Resolves with {status, json}; status 0 is a lost connection. fetch() has no upload progress.
  function request(method, url, body, job) {
    return new Promise((resolve) => {
      const xhr = new XMLHttpRequest();
      xhr.open(method, url);
      xhr.setRequestHeader("X-CSRFToken", token);
      xhr.upload.addEventListener("progress", (event) => {
        job.part = event.loaded / event.total;
        if (job.state === "sending") draw(job);
      });
      xhr.addEventListener("loadend", () => {
        let json = null;
        try {
          json = JSON.parse(xhr.responseText);
        } catch {
          // a proxy's page
        }
        resolve({ status: xhr.status, json });
      });
      job.abort = () => xhr.abort();
      xhr.send(body);
    });
  }

  // What our server says has a sentence; what answers without is a proxy before us.
  function sentenceOf(answer) {
    if (answer.status === 0) return "The connection was lost. See whether the file is in the list before you send it again.";
    if (answer.status === 401 || answer.status === 403 || answer.status === 404) return "You may have logged out, or lost access. Reload this page and try again.";
    if (answer.json?.error) return answer.json.error.message;
    if (answer.status === 413) return "A proxy before LumiKB does not let a file of this size through. Tell your operator.";
    return "The server could not store the file just now.";
  }

  function tagsOf(job) {
    const folder = job.folder.replaceAll(",", " ").slice(-100);
    return [form.elements.tags.value, folder].filter(Boolean).join(",");
  }

  // --- Following what is stored

  function poll() {
    if (!polling) polling = setTimeout(ask, POLL);
  }

  async function ask() {
    const followed = jobs.filter((job) => job.state === "stored");
    const ids = followed.slice(0, 500).map((job) => job.id);
    let found = null;
    try {
      const answer = await fetch(`${api}/states`, {
        method: "POST",
        headers: { "X-CSRFToken": token, "Content-Type": "application/json" },
        body: JSON.stringify({ ids }),
      });
      if (answer.ok) found = await answer.json();
    } catch {
      // asked again
    }
    polling = 0;
    if (found) {
      const known = new Map(found.map((each) => [each.id, each]));
      for (const job of followed.slice(0, 500)) learn(job, known.get(job.id));
      if (followed.some((job) => job.state !== "stored")) document.body.dispatchEvent(new Event("documents-changed"));
      redraw();
    }
    if (jobs.some((job) => job.state === "stored")) poll();
  }

  function learn(job, state) {
    if (!state) set(job, "failed", "It was deleted meanwhile.");
    else if (state.status === "ready") set(job, "ready", state.explain);
    else if (state.status === "failed") set(job, "failed", state.explain);
    else if (job.sentence !== state.explain) {
      job.progress = state.progress_total ? state.progress_count / state.progress_total : null;
      set(job, "stored", state.explain);
    }
  }

  // --- Files of whose name there is one already

  function onDecision(event) {
    const button = event.target.closest("[data-decide]");
    if (!button) return;
    const item = button.closest("tr");
    const decided = item ? [item.job] : jobs.filter((job) => job.state === "duplicate");
    for (const job of decided) decide(job, button.dataset.decide);
    remember();
    next();
  }

  function decide(job, how) {
    if (how === "skip") return set(job, "skipped", "Left as it was.");
    if (how === "replace") job.replaces = job.existing.document_id;
    if (how === "both") {
      job.keepBoth = true;
      job.number = 2;
      job.name = numbered(job.file.name, 2);
    }
    set(job, "waiting", "Waiting to be sent…");
  }

  function drawDecision() {
    const open = jobs.filter((job) => job.state === "duplicate");
    decision.hidden = !open.length;
    const body = decision.querySelector("tbody");
    const shown = [...body.children].map((row) => row.job);
    if (shown.length === open.length && shown.every((job, index) => job === open[index])) return;
    decision.querySelector("[data-for-all]").hidden = open.length === 1;
    decision.querySelector("h2").textContent = open.length === 1 ? "One file is here already" : `${open.length} files are here already`;
    body.replaceChildren(...open.slice(0, 100).map((job) => {
      const row = decision.querySelector("template").content.firstElementChild.cloneNode(true);
      row.job = job;
      const link = row.querySelector("a");
      link.textContent = pathOf(job);
      link.href = `${form.dataset.pages}${job.existing.document_id}/`;
      row.querySelector("[data-here]").textContent = `${size(job.existing.size)}, ${day(job.existing.created_at)}`;
      row.querySelector("[data-new]").textContent = `${size(job.file.size)}, ${day(job.file.lastModified)}`;
      row.querySelector("[data-same]").textContent = job.existing.same_content ? "the same content" : "other content";
      for (const button of row.querySelectorAll("button")) button.setAttribute("aria-label", `${button.textContent}: ${pathOf(job)}`);
      return row;
    }));
  }

  // --- What is shown

  function set(job, state, sentence) {
    job.state = state;
    job.sentence = sentence;
    draw(job);
    redraw();
  }

  function draw(job) {
    job.drawn ??= drawn(job);
    const { name, words, bar, buttons } = job.drawn;
    const isDone = job.id && job.state !== "sending";
    if (isDone && !name.href) {
      const link = document.createElement("a");
      link.href = `${form.dataset.pages}${job.id}/`;
      link.className = "upload-name";
      name.replaceWith(link);
      job.drawn.name = link;
    }
    job.drawn.name.textContent = pathOf(job);
    words.textContent = job.sentence;
    job.item.dataset.state = job.state;
    bar.hidden = job.state !== "sending" && job.state !== "stored";
    const part = job.state === "sending" ? job.part : job.progress;
    if (part == null || part === 1) bar.removeAttribute("value");
    else bar.value = part;
    buttons.querySelector("[data-cancel]").hidden = !isUnsent(job);
    buttons.querySelector("[data-retry]").hidden = !(job.state === "cancelled" || (job.state === "refused" && job.mayRetry));
  }

  function drawn(job) {
    const name = document.createElement("span");
    name.className = "upload-name";
    const words = document.createElement("p");
    words.className = "explanation";
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.setAttribute("aria-label", `Progress of ${pathOf(job)}`);
    const buttons = document.createElement("p");
    buttons.className = "actions";
    for (const [what, label] of [["cancel", "Cancel"], ["retry", "Try again"]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button quiet";
      button.dataset[what] = "";
      button.textContent = label;
      button.setAttribute("aria-label", `${label}: ${pathOf(job)}`);
      buttons.append(button);
    }
    job.item.append(name, words, bar, buttons);
    return { name, words, bar, buttons };
  }

  // Once a frame, however much has changed.
  function redraw() {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      title.textContent = sum();
      drawDecision();
      const isBusy = jobs.some(isUnsent);
      panel.querySelector("[data-cancel-all]").hidden = !isBusy;
      panel.querySelector("[data-clear]").hidden = isBusy;
      panel.querySelector("[data-retry-all]").hidden = !jobs.some((job) => job.state === "refused" && job.mayRetry);
    });
  }

  function sum() {
    const count = Object.fromEntries(STATES.map((state) => [state, 0]));
    for (const job of jobs) count[job.state] += 1;
    const refused = jobs.filter((job) => job.state === "refused" || job.state === "failed");
    const why = refused.length === 1 ? `: ${refused[0].name}` : "";
    const parts = [
      [count.ready, "ready"],
      [count.stored, "being processed"],
      [count.waiting + count.sending, "to be sent"],
      [count.duplicate, count.duplicate === 1 ? "duplicate" : "duplicates"],
      [refused.length, `failed${why}`],
      [count.skipped, "skipped"],
      [count.cancelled, "cancelled"],
    ];
    return parts.filter(([number]) => number).map(([number, what]) => `${number} ${what}`).join(", ");
  }

  function onClick(event) {
    const button = event.target.closest("button");
    if (!button) return;
    const job = button.closest("li")?.job;
    if ("clear" in button.dataset) clear();
    else if ("cancelAll" in button.dataset) jobs.filter(isUnsent).forEach(cancel);
    else if ("retryAll" in button.dataset) jobs.filter((each) => each.state === "refused" && each.mayRetry).forEach(retry);
    else if (job && "cancel" in button.dataset) cancel(job);
    else if (job && "retry" in button.dataset) retry(job);
    remember();
    next();
  }

  function cancel(job) {
    const abort = job.abort;
    set(job, "cancelled", "Not sent.");
    abort?.();
  }

  function retry(job) {
    job.part = null;
    set(job, "waiting", "Waiting to be sent…");
  }

  function clear() {
    const kept = jobs.filter((job) => job.state === "stored" || job.state === "duplicate");
    for (const job of jobs) if (!kept.includes(job)) job.item.remove();
    jobs = kept;
    panel.hidden = !jobs.length;
    if (panel.hidden) inputs[0].focus();
  }

  // --- A page that is left before all is sent

  function remember() {
    const names = jobs.filter(isUnsent).map(pathOf);
    try {
      if (names.length) sessionStorage.setItem(memory, JSON.stringify(names));
      else sessionStorage.removeItem(memory);
    } catch {
      // no room, or not allowed: then nothing is named
    }
  }

  function nameWhatWasNotSent() {
    let names = [];
    try {
      names = JSON.parse(sessionStorage.getItem(memory) ?? "[]");
      sessionStorage.removeItem(memory);
    } catch {
      return;
    }
    if (!names.length) return;
    unsent.querySelector("h2").textContent = names.length === 1 ? "One file was not sent" : `${names.length} files were not sent`;
    unsent.querySelector("ul").replaceChildren(...names.map((name) => {
      const item = document.createElement("li");
      item.textContent = name;
      return item;
    }));
    unsent.hidden = false;
    unsent.querySelector("button").addEventListener("click", () => (unsent.hidden = true));
  }
}

function pathOf(job) {
  return job.folder ? `${job.folder}/${job.name}` : job.name;
}

function folderOf(path) {
  return path ? path.split("/").slice(0, -1).join("/") : "";
}

function numbered(name, number) {
  const dot = name.lastIndexOf(".");
  return dot > 0 ? `${name.slice(0, dot)} (${number})${name.slice(dot)}` : `${name} (${number})`;
}

function size(bytes) {
  const units = ["bytes", "KB", "MB", "GB"];
  let unit = 0;
  while (bytes >= 1024 && unit < 3) {
    bytes /= 1024;
    unit += 1;
  }
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}

function day(moment) {
  return new Date(moment).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}

// Files and folders may be dropped anywhere on the page: a near miss must not make the browser leave.
function acceptDrops(zone, add) {
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    zone.classList.add("dragging");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) zone.classList.remove("dragging");
  });
  document.addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    zone.classList.remove("dragging");
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    // All at once: what was dropped is gone after the first pause.
    const entries = items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
    const found = [];
    for (const entry of entries) await collect(entry, "", found);
    add(found);
  });
}

async function collect(entry, folder, found) {
  if (entry instanceof File) found.push({ file: entry, folder });
  else if (entry.isFile) found.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), folder });
  else {
    const inside = folder ? `${folder}/${entry.name}` : entry.name;
    const reader = entry.createReader();
    for (;;) { // it hands out a hundred at a time
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) break;
      for (const each of some) await collect(each, inside, found);
    }
  }
}

const uploadForm = document.getElementById("upload");
if (uploadForm) startUploads(uploadForm);
