"use strict";
// Adds sorting, tooltips on the heat maps, and printing with all sections open; the page also works without it.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const key = (row, column) => {
    const cell = row.cells[column];
    if (!("value" in cell.dataset)) return cell.textContent;
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const first = head.classList.contains("number") ? "descending" : "ascending";
      const other = first === "descending" ? "ascending" : "descending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const rows = [...body.rows].map((row) => [key(row, column), row]);
      rows.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
}

for (const holder of document.querySelectorAll("[data-cells]")) {
  const { rows, columns, scores, box } = JSON.parse(holder.dataset.cells);
  const drawing = holder.querySelector("svg");
  const tip = holder.querySelector("output");
  holder.addEventListener("pointermove", (event) => {
    const place = drawing.getBoundingClientRect();
    const x = (event.clientX - place.left) / place.width;
    const y = (event.clientY - place.top) / place.height;
    const column = Math.floor(((x - box[0]) / box[2]) * columns.length);
    const row = Math.floor(((y - box[1]) / box[3]) * rows.length);
    tip.hidden = !(row in rows && column in columns);
    if (tip.hidden) return;
    const score = scores[row][column];
    tip.textContent = `${rows[row]} → ${columns[column]}: ${score === null ? "forbidden" : score.toFixed(2) + " nats"}`;
    const left = Math.min(event.clientX - place.left + 12, place.width - tip.offsetWidth);
    tip.style.left = `${Math.max(0, left)}px`;
    tip.style.top = `${event.clientY - place.top + 16}px`;
  });
  holder.addEventListener("pointerleave", () => { tip.hidden = true; });
}

window.addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:not([open])")) {
    part.open = true;
    part.dataset.opened = "";
  }
});
window.addEventListener("afterprint", () => {
  for (const part of document.querySelectorAll("details[data-opened]")) {
    part.open = false;
    delete part.dataset.opened;
  }
});
