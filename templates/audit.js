
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const grid = byId("cards");
  const cards = [...grid.children];
  cards.forEach((card, place) => { card.dataset.place = place; card.tabIndex = 0; });
  document.body.classList.add("interactive");
  byId("controls").hidden = cards.length === 0;

  const number = (card, name) => Number(card.dataset[name]);
  const orders = {
    worst: (a, b) => number(a, "place") - number(b, "place"),
    time: (a, b) => a.dataset.video.localeCompare(b.dataset.video, undefined, { numeric: true }) || number(a, "start") - number(b, "start"),
    longest: (a, b) => number(b, "duration") - number(a, "duration"),
  };
  let visible = cards;

  const refresh = () => {
    const video = byId("video").value;
    const fits = (card) => !video || card.dataset.video === video;
    visible = cards.filter(fits).sort(orders[byId("order").value]);
    cards.forEach((card) => { card.hidden = !fits(card); });
    grid.append(...visible);
    byId("count").textContent = visible.length + " shown";
  };
  ["video", "order"].forEach((id) => byId(id).addEventListener("input", refresh));

  const viewer = byId("viewer");
  let current = 0;
  const show = (place) => {
    current = (place + visible.length) % visible.length;
    const card = visible[current];
    viewer.querySelector(".pictures").replaceChildren(...card.querySelector(".pictures").cloneNode(true).children);
    viewer.querySelector(".caption").replaceChildren(card.querySelector("figcaption").cloneNode(true));
    if (!viewer.open) viewer.showModal();
  };
  grid.addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (card && !event.target.closest("a")) show(visible.indexOf(card));
  });
  grid.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches(".card")) show(visible.indexOf(event.target));
  });
  document.querySelectorAll(".lane a").forEach((mark) => mark.addEventListener("click", (event) => {
    const card = byId("event-" + mark.dataset.card);
    // A recording that the gallery leaves out at the moment has its events shown all the same.
    if (!visible.includes(card)) {
      byId("video").value = "";
      refresh();
    }
    event.preventDefault();
    show(visible.indexOf(card));
  }));
  byId("previous").addEventListener("click", () => show(current - 1));
  byId("next").addEventListener("click", () => show(current + 1));
  byId("close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") show(current - 1);
    if (event.key === "ArrowRight") show(current + 1);
  });

  refresh();
})();
