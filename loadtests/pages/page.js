// Says beside the pointer what the lines of a chart are at that place. The page is whole without.
"use strict";

for (const figure of document.querySelectorAll("figure")) {
  const chart = figure.querySelector("svg");
  const lines = JSON.parse(figure.querySelector("script").textContent);
  const cursor = document.createElementNS(chart.namespaceURI, "path");
  const tip = document.createElement("div");
  const { width, height } = chart.viewBox.baseVal;
  cursor.setAttribute("class", "cursor");
  tip.className = "tip";
  tip.hidden = true;
  chart.append(cursor);
  figure.append(tip);

  const nearest = (spots, x) =>
    spots.reduce((best, spot) => (Math.abs(spot[0] - x) < Math.abs(best[0] - x) ? spot : best));

  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * width;
    const found = lines.map(([name, spots]) => [name, nearest(spots, x)]);
    const at = found.reduce((best, each) =>
      Math.abs(each[1][0] - x) < Math.abs(best[1][0] - x) ? each : best)[1];
    cursor.setAttribute("d", `M${at[0]} 24V${height - 52}`);
    tip.replaceChildren(at[1], ...found.flatMap(([name, spot]) => [
      document.createElement("br"),
      `${name}: ${spot[2]}${spot[1] === at[1] ? "" : ` (${spot[1]})`}`,
    ]));
    tip.hidden = false;
    const place = (at[0] / width) * box.width + (box.left - figure.getBoundingClientRect().left);
    const over = place + 14 + tip.offsetWidth > figure.clientWidth - 8;
    tip.style.left = `${Math.max(8, over ? place - 14 - tip.offsetWidth : place + 14)}px`;
    tip.style.top = `${event.clientY - figure.getBoundingClientRect().top + 14}px`;
  });
  chart.addEventListener("pointerleave", () => {
    tip.hidden = true;
    cursor.removeAttribute("d");
  });
}
