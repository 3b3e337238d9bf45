document.querySelectorAll(".slider input").forEach((input) =>
  input.addEventListener("input", () => input.parentElement.style.setProperty("--cut", `${input.value}%`)));

document.documentElement.classList.add("scripted");
for (const table of document.querySelectorAll(".sortable")) {
  const head = table.tHead.rows[0], body = table.tBodies[0];
  const STAY = 2; // the model, and where it is fastest
  const figure = (cell) => Number(cell.querySelector("data")?.value ?? NaN);
  const before = (one, other, sign) => {
    const [a, b] = [figure(one), figure(other)];
    if (isNaN(a) && isNaN(b)) return 0;
    // What has no figure comes last either way.
    return isNaN(a) ? 1 : isNaN(b) ? -1 : sign * (a - b);
  };
  const sortRows = (place, sign) => {
    const compare = place
      ? (a, b) => before(a.cells[place], b.cells[place], sign)
      : (a, b) => sign * a.cells[0].textContent.localeCompare(b.cells[0].textContent);
    body.append(...[...body.rows].sort(compare));
  };
  const sortColumns = (row, sign) => {
    const places = [...head.cells].map((_, place) => place).slice(STAY);
    places.sort((a, b) => before(row.cells[a], row.cells[b], sign));
    for (const each of [head, ...body.rows]) {
      const cells = [...each.cells];
      each.append(...places.map((place) => cells[place]));
    }
  };
  const makeButton = (cell, axis, falls, sort) => {
    const button = document.createElement("button");
    const words = document.createElement("span");
    button.type = "button";
    words.className = "sorted-by";
    const small = cell.querySelector("small");
    words.append(...[...cell.childNodes].filter((node) => node !== small));
    button.append(words, ...(small ? [small] : []));
    cell.append(button);
    button.addEventListener("click", () => {
      const now = cell.getAttribute("aria-sort");
      const falling = now ? now === "ascending" : falls;
      axis().forEach((other) => other.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", falling ? "descending" : "ascending");
      sort(falling ? -1 : 1);
      button.focus();
    });
  };
  const heads = () => [...head.cells];
  const names = () => [...body.rows].map((row) => row.cells[0]);
  heads().forEach((cell, place) =>
    makeButton(cell, heads, place > 0, (sign) => sortRows(heads().indexOf(cell), sign)));
  [...body.rows].forEach((row) => makeButton(row.cells[0], names, true, (sign) => sortColumns(row, sign)));
}
