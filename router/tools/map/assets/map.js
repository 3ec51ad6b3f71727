"use strict";
(() => {
  const panel = document.getElementById("panel");
  const all = document.getElementById("all");
  const regions = [...document.querySelectorAll("a.region")];
  let pinned = null;
  const show = (region) => {
    const rows = document.getElementById(region.getAttribute("href").slice(1));
    const copy = document.createElement("table");
    copy.append(all.tHead.cloneNode(true), rows.cloneNode(true));
    copy.tBodies[0].removeAttribute("id");
    panel.replaceChildren(copy);
    for (const each of regions) each.classList.toggle("on", each === region);
  };
  for (const region of regions) {
    region.addEventListener("pointerenter", () => { if (!pinned) show(region); });
    region.addEventListener("focus", () => { pinned = null; show(region); });
    region.addEventListener("click", (event) => {
      event.preventDefault();
      show(region);
      pinned = region;
    });
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") pinned = null; });
  if (regions.length) show(regions[0]);
})();
