"use strict";
// Shows what the card under the pointer or the focus is about. Every word is set as text, never as markup.
const about = JSON.parse(document.getElementById("about-all").textContent);
const panel = document.getElementById("about"), room = document.querySelector("main"), sheet = room.querySelector("svg");
const cards = [...sheet.querySelectorAll(".card")], arrows = [...sheet.querySelectorAll(".arrow")];
const find = document.getElementById("find"), stale = document.getElementById("stale");
const size = { width: sheet.width.baseVal.value, height: sheet.height.baseVal.value };
let kept = null, scale = 1;

function made(kind, text, classes) {
  const element = document.createElement(kind);
  element.textContent = text;
  if (classes) element.className = classes;
  return element;
}

function listed(title, items) {
  if (!items.length) return [];
  const list = document.createElement("ul");
  list.append(...items);
  return [made("h3", title), list];
}

function step(mark) {
  const item = document.createElement("li");
  item.append(made("span", `${mark.sign} ${mark.state}`, `state ${mark.look}`), ` ${mark.step}`);
  item.append(...mark.reasons.map((reason) => made("span", reason, "reason")));
  return item;
}

function way(key) {
  const item = document.createElement("li"), button = made("button", about[key].name);
  button.addEventListener("click", () => { const card = document.getElementById(key); keep(card); card.focus(); });
  item.append(button);
  return item;
}

const ends = (arrow) => [...arrow.dataset.tail.split(" "), arrow.dataset.head];

function show(card) {
  const one = about[card.id], near = new Set([...one.needs, ...one.needed]);
  panel.replaceChildren(
    made("h2", one.name), made("p", one.mode), made("p", one.source), ...one.notes.map((note) => made("p", note)),
    ...listed("Steps", one.marks.map(step)), ...listed("Needs", one.needs.map(way)),
    ...listed("Needed by", one.needed.map(way)));
  for (const other of cards) other.classList.toggle("lit", other === card || near.has(other.id));
  for (const arrow of arrows) arrow.classList.toggle("lit", ends(arrow).includes(card.id));
}

function keep(card) {
  kept = kept === card ? null : card;
  for (const other of cards) other.setAttribute("aria-pressed", other === kept);
  if (kept) show(kept);
}

function sift() {
  const word = find.value.trim().toLowerCase();
  for (const card of cards) {
    const one = about[card.id], text = `${one.name} ${one.mode} ${one.source}`.toLowerCase();
    const fits = (!word || text.includes(word)) && (!stale.checked || one.marks.some((mark) => mark.look !== "fresh"));
    card.classList.toggle("faded", !fits);
  }
}

function zoom(to) {
  scale = Math.min(3, Math.max(0.1, to));
  sheet.setAttribute("width", size.width * scale);
  sheet.setAttribute("height", size.height * scale);
}
const fit = () => zoom(Math.min(1, room.clientWidth / size.width));

for (const title of sheet.querySelectorAll("title")) title.remove(); // the panel says it all, and at once
for (const card of cards) {
  card.setAttribute("role", "button");
  card.setAttribute("aria-pressed", "false");
  card.addEventListener("pointerenter", () => kept || show(card));
  card.addEventListener("focus", () => kept || show(card));
  card.addEventListener("click", () => keep(card));
  card.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); keep(card); }
    if (event.key === "Escape" && kept) keep(kept);
  });
}
find.addEventListener("input", sift);
stale.addEventListener("change", sift);
document.getElementById("closer").addEventListener("click", () => zoom(scale * 1.25));
document.getElementById("farther").addEventListener("click", () => zoom(scale / 1.25));
document.getElementById("whole").addEventListener("click", fit);
zoom(Math.max(0.6, Math.min(1, room.clientWidth / size.width)));
