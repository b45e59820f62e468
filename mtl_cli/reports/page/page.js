"use strict";
// Columns that sort, by button and so by keyboard; without this script the tables are as they were written.
const compare = (a, b) => {
  if (a === "" || b === "") return (a === "") - (b === "");
  const [x, y] = [Number(a), Number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
};
for (const table of document.querySelectorAll("table.sortable")) {
  const [body, headings] = [table.tBodies[0], [...table.tHead.rows[0].cells]];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const way = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      headings.forEach((other) => other.setAttribute("aria-sort", other === heading ? way : "none"));
      const key = (row) => row.cells[column].dataset.key;
      const known = [...body.rows].filter((row) => key(row) !== "").sort((a, b) => compare(key(a), key(b)));
      const unknown = [...body.rows].filter((row) => key(row) === "");
      body.append(...(way === "ascending" ? known : known.reverse()), ...unknown);
    });
  });
}
// Print all, also what is closed on the screen.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => (one.open = true)));
