// What the pages gain with JavaScript: uploads one by one with progress, drag and drop, a question
// before a deletion, and words when the server does not answer. Without it everything still works.
"use strict";

document.documentElement.classList.add("js");

// --- Uploads -------------------------------------------------------------------------------------

const AT_ONCE = 2;

function startUploads(form) {
  const input = form.querySelector("input[type=file]");
  const panel = document.getElementById("uploads");
  const list = panel.querySelector("ul");
  const title = panel.querySelector("h2");
  const waiting = [];
  let active = 0, total = 0, stored = 0, leaving = false;

  input.addEventListener("change", () => {
    add([...input.files]);
    input.value = ""; // the same file may be chosen again
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  panel.querySelector("[data-clear]").addEventListener("click", clear);
  window.addEventListener("beforeunload", (event) => {
    if (!leaving && active + waiting.length) event.preventDefault();
  });
  acceptDrops(form, add);

  function add(files) {
    for (const file of files) {
      const item = document.createElement("li");
      list.append(item);
      const job = { file, item, url: form.action };
      item.addEventListener("click", (event) => {
        const button = event.target.closest("[data-retry], [data-replace]");
        if (!button) return;
        if (button.dataset.replace) job.replaces = job.url = button.dataset.replace;
        enqueue(job);
      });
      total += 1;
      enqueue(job);
    }
    panel.hidden = !list.children.length;
  }

  function enqueue(job) {
    show(job, "", "Waiting to be sent…");
    if (job.file.size > Number(form.dataset.maxBytes)) {
      show(job, "error", `The file is larger than ${form.dataset.maxSize}, the most that is accepted.`);
    } else {
      waiting.push(job);
    }
    next();
  }

  function next() {
    while (active < AT_ONCE && waiting.length) {
      active += 1;
      send(waiting.shift()).finally(() => {
        active -= 1;
        next();
      });
    }
    const busy = active + waiting.length;
    const files = total === 1 ? "file" : "files";
    title.textContent = busy ? `Sending ${total} ${files}, ${busy} to go…` : `${stored} of ${total} ${files} stored`;
    panel.querySelector("[data-clear]").hidden = busy > 0;
  }

  async function send(job) {
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", `Sending ${job.file.name}`);
    show(job, "", "Sending…");
    job.item.querySelector(".explanation").before(bar);
    const body = new FormData();
    body.append("file", job.file, job.file.name);
    const answer = await post(job.url, body, form.elements.csrfmiddlewaretoken.value, (part) => {
      bar.value = part;
      if (part === 1) bar.removeAttribute("value"); // all is sent; now the server stores it
    });
    settle(job, answer);
  }

  function settle(job, answer) {
    if (job.replaces && answer.page.getElementById("state")) {
      settleReplacement(job, answer.url);
      return;
    }
    const result = job.replaces ? null : answer.page.querySelector(".upload-result");
    if (result) {
      job.item.replaceChildren(document.importNode(result, true));
      if (result.classList.contains("success")) {
        stored += 1;
        document.body.dispatchEvent(new Event("documents-changed"));
      } else {
        list.prepend(job.item); // what needs a decision is not lost among what went well
      }
    } else if (answer.status === 0) {
      show(job, "error", "The connection was lost. See whether the file is in the list before you send it again.", "", true);
    } else if (answer.status >= 500 || answer.status === 413) {
      const retry = answer.status >= 500;
      show(job, "error", sentenceOf(answer), "", retry);
    } else {
      show(job, "error", "You may have logged out, or lost access. Reload this page and try again.");
    }
  }

  // Our own error pages have one; what answers without is a proxy before us.
  function sentenceOf(answer) {
    const ours = answer.page.querySelector("[data-sentence]");
    if (ours) return ours.textContent;
    if (answer.status === 413) return "A proxy before LumiKB does not let a file of this size through. Tell your operator.";
    return "The server could not store the file just now.";
  }

  // The answer to a replacement is the new document's page, or the old one's with the reason why not.
  function settleReplacement(job, url) {
    if (active + waiting.length === 1) { // nothing else would be lost by leaving
      leaving = true;
      location.assign(url);
    } else if (new URL(url).pathname === job.replaces.replace(/replace$/, "")) {
      show(job, "error", "It was not replaced. Open the document to read why.", url);
    } else {
      stored += 1;
      show(job, "success", "Stored in its place; it waits to be processed.", url);
      document.body.dispatchEvent(new Event("documents-changed"));
    }
  }

  function show(job, outcome, sentence, link = "", retry = false) {
    const name = document.createElement(link ? "a" : "span");
    name.textContent = job.file.name;
    name.className = "upload-name";
    if (link) name.href = link;
    const words = document.createElement("p");
    words.className = "explanation";
    words.textContent = sentence;
    const shown = document.createElement("div");
    shown.className = `upload-result ${outcome}`;
    shown.append(name, words);
    if (retry) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button";
      button.dataset.retry = "";
      button.textContent = "Try again";
      shown.append(button);
    }
    job.item.replaceChildren(shown);
    if (outcome === "error") list.prepend(job.item);
  }

  function clear() {
    list.replaceChildren();
    total = stored = 0;
    panel.hidden = true;
    input.focus();
  }
}

// Files may be dropped anywhere on the page: a near miss must not make the browser leave it.
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
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    zone.classList.remove("dragging");
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    const folders = items.filter((item) => item.webkitGetAsEntry?.()?.isDirectory);
    if (folders.length) notify("Folders cannot be taken; open them and drop the files in them.");
    add(items.filter((item) => !folders.includes(item)).map((item) => item.getAsFile()));
  });
}

// Resolves with {status, url, page}; status 0 is a lost connection. fetch() has no upload progress.
function post(url, body, token, onProgress) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    request.setRequestHeader("X-CSRFToken", token);
    request.setRequestHeader("HX-Request", "true"); // asks for the fragment
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded / event.total));
    request.addEventListener("loadend", () => resolve({
      status: request.status,
      url: request.responseURL,
      page: new DOMParser().parseFromString(request.responseText, "text/html"),
    }));
    request.send(body);
  });
}

// --- Questions -----------------------------------------------------------------------------------

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.confirm) return;
  event.preventDefault();
  const dialog = document.getElementById("confirm");
  dialog.querySelector("p").textContent = form.dataset.confirm;
  dialog.querySelector("[value=yes]").textContent = form.dataset.confirmYes;
  dialog.returnValue = "no";
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "yes") form.submit();
  }, { once: true });
  dialog.showModal();
});

// --- Parts that refresh themselves -----------------------------------------------------------------

function notify(sentence) {
  const notice = document.getElementById("connection");
  notice.textContent = sentence;
  notice.hidden = !sentence;
}

let lost = false;

function onLost(event) {
  if (event.detail.xhr.status === 404) {
    location.reload(); // deleted for good meanwhile: the page says so
    return;
  }
  lost = true;
  notify("The server does not answer just now. What you see may be old; this page goes on asking.");
}

document.addEventListener("htmx:sendError", onLost);
document.addEventListener("htmx:responseError", onLost);

document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, xhr } = event.detail;
  if (xhr.status >= 400) return;
  if (lost) notify("");
  lost = false;
  // Logged out meanwhile: the answer is the login page, which must not land inside this one.
  if (!xhr.responseText.includes(`id="${target.id}"`)) {
    event.detail.shouldSwap = false;
    location.reload();
  }
});

// A live region that is swapped itself is read by no screen reader: this one stays.
let announced = "";

function announce() {
  const words = document.querySelector("[data-announce]")?.dataset.announce ?? "";
  if (announced && words !== announced) document.getElementById("announcer").textContent = words;
  announced = words;
}

document.addEventListener("htmx:afterSettle", announce);
announce();

// --- Search by keyboard --------------------------------------------------------------------------

// "/" goes to the search field, the arrows go through the results, Enter opens one: it is a link.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const field = document.querySelector("#q, #header-q");
  const at = document.activeElement;
  if (event.key === "/" && field && !at.matches("input, textarea, select, [contenteditable]")) {
    event.preventDefault();
    field.focus();
    field.select();
    return;
  }
  const hits = [...document.querySelectorAll(".hit")].filter((hit) => hit.checkVisibility());
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const index = hits.indexOf(at);
  if (!step || !hits.length || (index < 0 && at !== field)) return;
  event.preventDefault();
  (hits[index + step] ?? (step < 0 ? field : hits.at(-1))).focus();
});

const uploadForm = document.getElementById("upload");
if (uploadForm) startUploads(uploadForm);
