
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const grid = byId("cards");
  const cards = [...grid.children];
  cards.forEach((card, place) => { card.dataset.place = place; card.tabIndex = 0; });
  document.body.classList.add("interactive");
  byId("controls").hidden = cards.length === 0;

  const score = (card) => Number(card.dataset.score);
  const orders = {
    interest: (a, b) => a.dataset.place - b.dataset.place,
    high: (a, b) => score(b) - score(a),
    low: (a, b) => score(a) - score(b),
    path: (a, b) => a.dataset.path.localeCompare(b.dataset.path, undefined, { numeric: true }),
  };
  let outcome = "";
  let visible = cards;

  const refresh = () => {
    const name = byId("class").value;
    const part = byId("search").value.trim().toLowerCase();
    const fits = (card) => (!outcome || card.dataset.outcome === outcome)
      && (!name || card.dataset.class === name)
      && card.dataset.path.toLowerCase().includes(part);
    visible = cards.filter(fits).sort(orders[byId("order").value]);
    cards.forEach((card) => { card.hidden = !fits(card); });
    grid.append(...visible);
    byId("count").textContent = visible.length + " shown";
    byId("nothing").hidden = visible.length > 0;
  };

  const chips = [...document.querySelectorAll(".chips button")];
  chips.forEach((chip) => chip.addEventListener("click", () => {
    outcome = chip.dataset.outcome;
    chips.forEach((other) => other.setAttribute("aria-pressed", other === chip));
    refresh();
  }));
  ["class", "order", "search"].forEach((id) => byId(id).addEventListener("input", refresh));

  const viewer = byId("viewer");
  let current = 0;
  const show = (place) => {
    current = (place + visible.length) % visible.length;
    const card = visible[current];
    viewer.querySelector(".pictures").replaceChildren(...card.querySelector(".pictures").cloneNode(true).children);
    const caption = card.querySelector("figcaption").cloneNode(true);
    const holder = viewer.querySelector(".caption");
    holder.className = "caption " + card.dataset.outcome;
    holder.replaceChildren(caption);
    if (!viewer.open) viewer.showModal();
  };
  grid.addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (card) show(visible.indexOf(card));
  });
  grid.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches(".card")) show(visible.indexOf(event.target));
  });
  byId("previous").addEventListener("click", () => show(current - 1));
  byId("next").addEventListener("click", () => show(current + 1));
  byId("close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") show(current - 1);
    if (event.key === "ArrowRight") show(current + 1);
  });

  const table = byId("rows");
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent;
    return cell.classList.contains("number") ? Number(text) : text;
  };
  [...table.tHead.rows[0].cells].forEach((head, column) => head.addEventListener("click", () => {
    const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    [...table.tHead.rows[0].cells].forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => direction * compare(value(a, column), value(b, column)));
    table.tBodies[0].append(...rows);
  }));

  refresh();
})();
