// What the pages gain with JavaScript: a question before a deletion, and words when the server does
// not answer; uploads.js sends files one by one. Without it everything still works.
"use strict";

document.documentElement.classList.add("js");

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

// --- Ticked documents ------------------------------------------------------------------------------

// The list is swapped every two seconds while something is processed: what is ticked stays so.
const tickAll = document.getElementById("tick-all");

function tickable() {
  return [...document.querySelectorAll("input[form=selection][name=id]")];
}

function countTicked() {
  const boxes = tickable();
  const count = boxes.filter((box) => box.checked).length;
  document.getElementById("ticked").textContent = count ? `${count} chosen` : "";
  tickAll.checked = count > 0 && count === boxes.length;
  tickAll.indeterminate = count > 0 && count < boxes.length;
}

if (tickAll) {
  const ticked = new Set();
  document.addEventListener("change", (event) => {
    if (event.target === tickAll) for (const box of tickable()) box.checked = tickAll.checked;
    else if (!event.target.matches("input[form=selection]")) return;
    for (const box of tickable()) ticked[box.checked ? "add" : "delete"](box.value);
    countTicked();
  });
  document.addEventListener("htmx:afterSettle", () => {
    const here = tickable();
    for (const box of here) box.checked = ticked.has(box.value);
    for (const id of [...ticked]) if (!here.some((box) => box.value === id)) ticked.delete(id);
    countTicked();
  });
}

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
