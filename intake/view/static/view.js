// The page works without this script. With it, fields and their places on the page light each
// other up, tabs and zooms need no new page, and everything can be done by keyboard.
"use strict";

const $ = (selector, from = document) => from.querySelector(selector);
const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
const base = document.body.dataset.base;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

function say(text) {
  const said = $("#said");
  said.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { said.textContent = ""; }, 2500);
}

// Fields and their places.

let lit = null;

function light(id, scroll) {
  if (id !== lit) {
    for (const e of $$(".lit")) e.classList.remove("lit");
    lit = id;
    if (id) for (const e of $$(`[data-field="${id}"]`)) e.classList.add("lit");
  }
  if (id && scroll) show($(`polygon[data-field="${id}"]`));
}

// show scrolls the pages so that a place is seen.
function show(mark) {
  const pane = $(".sheets");
  if (!mark || !pane) return;
  const m = mark.getBoundingClientRect(), p = pane.getBoundingClientRect();
  if (m.top >= p.top && m.bottom <= p.bottom && m.left >= p.left && m.right <= p.right) return;
  pane.scrollBy({
    top: m.top + m.height / 2 - p.top - p.height / 2,
    left: m.left >= p.left && m.right <= p.right ? 0 : m.left + m.width / 2 - p.left - p.width / 2,
    behavior: calm.matches ? "auto" : "smooth",
  });
}

const fieldOf = (target) => target.closest?.("[data-field]");

document.addEventListener("mouseover", (event) => {
  const field = fieldOf(event.target);
  clearTimeout(light.timer);
  if (!field) return;
  light(field.dataset.field, false);
  if (field.closest(".data")) light.timer = setTimeout(() => light(field.dataset.field, true), 180);
});

document.addEventListener("focusin", (event) => {
  const field = fieldOf(event.target);
  if (field) light(field.dataset.field, Boolean(field.closest(".data")));
});

document.addEventListener("click", (event) => {
  const mark = event.target.closest?.("polygon[data-field]");
  if (mark) {
    event.preventDefault();
    go($(`.data [data-field="${mark.dataset.field}"]`));
    return;
  }
  const cite = event.target.closest?.('.cites a[href^="#c"]');
  if (cite) {
    event.preventDefault();
    const field = fieldOf(cite);
    light(field.dataset.field, false);
    show(document.getElementById(cite.hash.slice(1)));
    return;
  }
  const page = event.target.closest?.('a[href^="#page-"]');
  if (page) {
    event.preventDefault();
    toPage(Number(page.dataset.tool === "back" ? at - 1 : page.dataset.tool === "forth" ? at + 1 : page.hash.slice(6)));
    return;
  }
  const tool = event.target.closest?.("[data-tool]");
  if (tool && tools[tool.dataset.tool]) {
    event.preventDefault();
    tools[tool.dataset.tool]();
    return;
  }
  const link = event.target.closest?.("a[data-swap]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    swap(link.href, ".data");
    return;
  }
  const copy = event.target.closest?.("[data-copy]");
  if (copy) put($(copy.dataset.copy).textContent);
});

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-swap]")) return;
  event.preventDefault();
  swap(event.target.action.split("?")[0] + "?" + new URLSearchParams(new FormData(event.target)), ".data");
});

function go(field) {
  if (!field) return;
  field.focus({ preventScroll: true });
  field.scrollIntoView({ block: "nearest", behavior: calm.matches ? "auto" : "smooth" });
}

// swap takes a part of this page from another address of it.
async function swap(href, part) {
  const address = new URL(href);
  const pages = $(".pages");
  if (part === ".data" && pages) {
    for (const [name, value, usual] of [["zoom", pages.dataset.zoom, "100"], ["turn", pages.dataset.turn, "0"]]) {
      if (value === usual) address.searchParams.delete(name); else address.searchParams.set(name, value);
    }
    if (pages.classList.contains("whole")) address.searchParams.set("zoom", "page");
  }
  const focused = document.activeElement?.closest?.(part) && document.activeElement;
  const key = focused?.name ? `[name="${focused.name}"]` : focused?.getAttribute?.("href") ? "[aria-current]" : "";
  try {
    const answer = await fetch(address);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = $(part, page);
    if (!fresh) throw new Error();
    $(part).replaceWith(document.adoptNode(fresh));
  } catch {
    location.href = address;
    return;
  }
  history.replaceState(null, "", address);
  lit = null;
  if (key) {
    const again = $(`${part} ${key}`);
    again?.focus();
    if (again?.type === "search") again.setSelectionRange(again.value.length, again.value.length);
  }
}

// Pages.

let at = 1;
const sheetsOf = () => $$(".sheet");
let seen;

function watchPages() {
  seen?.disconnect();
  const pane = $(".sheets");
  if (!pane) return;
  const shown = new Map();
  seen = new IntersectionObserver((entries) => {
    for (const e of entries) shown.set(e.target, e.intersectionRatio > 0 ? e.intersectionRect.height : 0);
    let most = 0;
    for (const [sheet, height] of shown) if (height > most) { most = height; at = Number(sheet.dataset.page); }
    mark();
  }, { root: pane, threshold: [0, .25, .5, .75, 1] });
  for (const sheet of sheetsOf()) seen.observe(sheet);
}

function mark() {
  const where = $("[data-at]");
  if (where && where.textContent !== String(at)) where.textContent = at;
  const thumb = $(`[data-thumb="${at}"]`);
  if (!thumb || thumb.hasAttribute("aria-current")) return;
  for (const t of $$("[data-thumb][aria-current]")) t.removeAttribute("aria-current");
  thumb.setAttribute("aria-current", "true");
  const strip = thumb.parentElement, t = thumb.getBoundingClientRect(), s = strip.getBoundingClientRect();
  if (t.top < s.top || t.bottom > s.bottom) strip.scrollBy({ top: t.top - s.top - s.height / 2 + t.height / 2 });
}

function toPage(n) {
  const sheet = $(`[data-page="${Math.max(1, Math.min(n, sheetsOf().length))}"]`), pane = $(".sheets");
  if (!sheet) return;
  at = Number(sheet.dataset.page);
  pane.scrollBy({ top: sheet.getBoundingClientRect().top - pane.getBoundingClientRect().top - 12, behavior: "auto" });
  mark();
}

const zooms = [50, 75, 100, 125, 150, 200, 300, 400];

function zoom(to) {
  const pages = $(".pages"), pane = $(".sheets");
  if (!pane) return;
  const page = at, sheet = $(`[data-page="${page}"]`);
  const r = sheet.getBoundingClientRect(), p = pane.getBoundingClientRect();
  const middle = (p.top + p.height / 2 - r.top) / r.height;
  pages.classList.toggle("whole", to === "page");
  if (to !== "page") {
    pages.dataset.zoom = to;
    pane.className = `sheets zoom-${to}`;
    $("[data-zoomed]").textContent = to;
  }
  const now = sheet.getBoundingClientRect();
  pane.scrollTop += now.top + middle * now.height - p.top - p.height / 2;
  remember();
}

function remember() {
  const pages = $(".pages"), address = new URL(location.href);
  address.searchParams.delete("zoom");
  if (pages.classList.contains("whole")) address.searchParams.set("zoom", "page");
  else if (pages.dataset.zoom !== "100") address.searchParams.set("zoom", pages.dataset.zoom);
  history.replaceState(null, "", address);
}

const step = (by) => zoom(zooms[Math.max(0, Math.min(zooms.length - 1, zooms.indexOf(Number($(".pages").dataset.zoom)) + by))]);

async function turn() {
  const page = at, pages = $(".pages"), address = new URL(location.href);
  address.searchParams.set("turn", (Number(pages.dataset.turn) + 90) % 360);
  await swap(address, ".pages");
  watchPages();
  toPage(page);
}

const tools = {
  in: () => step(1), out: () => step(-1), fit: () => zoom(100), whole: () => zoom("page"), turn,
  back: () => toPage(at - 1), forth: () => toPage(at + 1),
};

// The list, and the way through it.

const rows = () => $$(".documents tbody tr");
if ($(".documents")) sessionStorage.setItem("documents", JSON.stringify($$(".documents .go").map((a) => a.href)));

function step2(by) {
  if ($(".documents")) {
    const all = rows(), now = all.indexOf(document.activeElement?.closest("tr"));
    const to = all[Math.max(0, Math.min(all.length - 1, now + by))];
    if (to) { $(".go", to).focus(); to.scrollIntoView({ block: "nearest" }); }
    return;
  }
  const list = JSON.parse(sessionStorage.getItem("documents") ?? "[]");
  const now = list.indexOf(location.origin + location.pathname);
  const to = now < 0 ? undefined : list[now + by];
  if (to) location.href = to;
  else say(now < 0 ? "Open a document from the list to go on from one to the next" : "There is no other on this page of the list");
}

function stepField(by, low) {
  const all = $$(".data [data-field]").filter((f) => !low || f.classList.contains("low"));
  if (!all.length) { say(low ? "No field has a low confidence" : "There are no fields"); return; }
  const here = fieldOf(document.activeElement);
  let now = all.indexOf(here);
  if (now < 0 && here) now = all.findIndex((f) => here.compareDocumentPosition(f) & Node.DOCUMENT_POSITION_FOLLOWING) - (by > 0 ? 1 : 0);
  else if (now < 0) now = by > 0 ? -1 : all.length;
  go(all[Math.max(0, Math.min(all.length - 1, now + by))]);
}

async function put(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied");
  } catch {
    say("The browser does not allow copying: select the text instead");
  }
}

// Keys.

const keys = {
  j: () => step2(1), k: () => step2(-1),
  n: () => stepField(1), p: () => stepField(-1), N: () => stepField(1, true), P: () => stepField(-1, true),
  "+": tools.in, "=": tools.in, "-": tools.out, 0: tools.fit, r: turn,
  "/": () => { const box = $("[data-filter]") ?? $(".find input"); box.focus(); box.select(); },
  y: () => { const field = fieldOf(document.activeElement) ?? $(".data .field.lit"), value = field && $(".value", field); if (value) put(value.classList.contains("empty") ? "" : value.textContent); else say("Choose a field first: n"); },
  o: () => { const link = $("[data-extend]"); if (link) link.click(); else say("This document has no run at Extend"); },
  x: () => { const box = $("input[name=id]", document.activeElement?.closest("tr") ?? undefined) ; if (box && $(".documents")) box.click(); },
  "?": () => $("#keys").showModal(),
};
const pageKeys = { ArrowLeft: tools.back, ArrowRight: tools.forth };
const places = { o: "/", l: "/documents", d: "/dead-letters" };
let g = 0;

document.addEventListener("keydown", (event) => {
  const t = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
  if (t.matches("input:not([type=checkbox]), select, textarea")) {
    if (event.key === "Escape") t.blur();
    return;
  }
  if (event.timeStamp - g < 1500 && places[event.key]) {
    event.preventDefault();
    location.href = base + places[event.key];
    return;
  }
  g = event.key === "g" ? event.timeStamp : 0;
  const arrows = pageKeys[event.key] && !t.closest(".scroller, .code") && $(".sheet");
  if (event.key === "Enter" && t.matches("[data-field]")) {
    event.preventDefault();
    light(t.dataset.field, true);
    $(".cites a", t)?.focus();
    return;
  }
  const act = arrows ? pageKeys[event.key] : keys[event.key];
  if (!act || (!$(".pages") && [tools.in, tools.out, tools.fit, turn].includes(act))) return;
  event.preventDefault();
  act();
});

watchPages();
mark();
if (location.hash.startsWith("#f")) go(document.getElementById(location.hash.slice(1)));
