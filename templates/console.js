// What the console adds where scripts run: copy buttons, the name that must be
// typed, the keys "/" and "g d", and focus after a boosted navigation.
"use strict";

const root = document.documentElement;
root.classList.add("scripted");

const check = (input) => {
  const button = input.form && input.form.querySelector("[data-needs-name]");
  if (button) button.disabled = input.value !== input.dataset.expect;
};
const prepare = () =>
  document.querySelectorAll("[data-expect]").forEach(check);

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  await navigator.clipboard.writeText(source.textContent.trim());
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
});

document.addEventListener("input", (event) => {
  if (event.target.dataset.expect !== undefined) check(event.target);
});

let went = false;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select")) return;
  if (event.key === "/") {
    const search = document.querySelector("input[type=search]");
    if (search) { event.preventDefault(); search.focus(); }
  } else if (went && event.key === "d") {
    location.href = "/devices";
  }
  went = event.key === "g";
});

document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-on-change]");
  if (form && event.target.matches("select")) form.requestSubmit();
});

// A boosted page replaces the body: say so to a screen reader.
document.addEventListener("htmx:after:swap", (event) => {
  const swapped = event.detail.ctx && event.detail.ctx.target;
  if (swapped !== document.body) return;
  prepare();
  const heading = document.querySelector("h1");
  if (heading) heading.focus({ preventScroll: true });
});

// Without its stream a page goes stale, and must say so.
const live = (is) => () =>
  document.querySelectorAll("h1").forEach((h) => h.classList.toggle("lost", !is));
document.addEventListener("htmx:sse:after:connection", live(true));
document.addEventListener("htmx:sse:error", live(false));

prepare();
