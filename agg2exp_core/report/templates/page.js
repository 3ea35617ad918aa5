// Draws the charts, sorts the tables, and lets the lists of choices steer both.
"use strict";
(() => {
  const drawn = [];
  const chosen = () =>
    Object.fromEntries([...document.querySelectorAll("[data-choice]")].map((s) => [s.dataset.choice, s.value]));

  const LABELS = 190;  // beside a chart: names of regions

  // A chart that is wider than a narrow page gets its width, and its legend below.
  function fitted(text, room) {
    const spec = JSON.parse(text);
    if (typeof spec.width !== "number" || spec.width + LABELS <= room) return spec;
    const narrow = JSON.parse(text.replaceAll(/"orient": ?"right"/g, '"orient": "bottom", "columns": 2'));
    return { ...narrow, width: Math.max(140, room - LABELS) };
  }

  async function draw(box) {
    const spec = fitted(document.getElementById(box.dataset.chart).textContent, box.parentNode.clientWidth);
    const { view } = await vegaEmbed(box, spec, {
      actions: false, ast: true, defaultStyle: false, renderer: "svg", tooltip: { disableDefaultStyle: true },
    });
    drawn.push(view);
    steer(view, chosen());
    box.dataset.drawn = "yes";
  }

  function steer(view, choices) {
    const known = Object.keys(view.getState().signals ?? {});
    for (const [name, value] of Object.entries(choices)) {
      if (known.includes(name)) view.signal(name, value);
    }
    view.runAsync();
  }

  function filterRows(choices) {
    for (const row of document.querySelectorAll("tr[data-of]")) {
      row.hidden = row.dataset.of in choices && choices[row.dataset.of] !== row.dataset.is;
    }
  }

  const key = (cell) => (cell.dataset.value === undefined ? null : Number(cell.dataset.value));

  function sortBy(head) {
    const table = head.closest("table");
    const column = [...head.parentNode.children].indexOf(head);
    const isNumber = head.classList.contains("number");
    const down = head.ariaSort ? head.ariaSort === "ascending" : isNumber;
    for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
    head.ariaSort = down ? "descending" : "ascending";
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [row, row.cells[column]]);
    rows.sort(([, a], [, b]) => {
      const order = key(a) === null || key(b) === null
        ? (key(a) === null) - (key(b) === null) || a.textContent.trim().localeCompare(b.textContent.trim(), "en", { numeric: true })
        : key(a) - key(b);
      return down && (key(a) === null) === (key(b) === null) ? -order : order;
    });
    body.append(...rows.map(([row]) => row));
  }

  for (const button of document.querySelectorAll("table.sortable thead button")) {
    button.addEventListener("click", () => sortBy(button.parentNode));
  }
  for (const list of document.querySelectorAll("[data-choice]")) {
    list.addEventListener("change", () => {
      const choices = chosen();
      for (const view of drawn) steer(view, choices);
      filterRows(choices);
    });
  }
  filterRows(chosen());
  for (const box of document.querySelectorAll("[data-chart]")) draw(box);
})();
