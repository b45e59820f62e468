"use strict";
// Asks the server that this page came from; all that is shown is set as text, never as HTML.
const $ = (id) => document.getElementById(id);
const address = document.body.dataset.address;
const minus = (text) => text.replaceAll("-", "−");
const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 5 });
const share = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });

const make = (tag, text, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  if (text !== null) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};
const shown = (value) => {
  if (value === null || value === undefined) return "none";
  return typeof value === "number" && !Number.isInteger(value) ? number.format(value) : String(value);
};
const bar = (...marks) => {
  const track = make("div", null, { class: "bar", "aria-hidden": "true" });
  for (const [name, from, long] of marks) {
    const span = make("span", null, name ? { class: name } : {});
    span.style.setProperty("--from", `${100 * from}%`);
    if (long !== undefined) span.style.setProperty("--long", `${100 * long}%`);
    track.append(span);
  }
  return track;
};

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer.");
  }
  if (answer.ok) return answer;
  let found = null;
  try {
    found = await answer.json();
  } catch { /* no JSON: its status says enough */ }
  const lines = (found?.errors ?? []).map((one) => `${one.where}: ${one.what}${one.hint ? `; ${one.hint}` : ""}`);
  throw new Error(lines.join(" ") || `The server answered ${answer.status}.`);
}

// What is wrong goes to an alert, which is read at once; what is done goes to a status.
async function doing(button, wrong, said, work) {
  button.disabled = true;
  $(wrong).hidden = true;
  $(wrong).textContent = "";
  $(said).textContent = "Working …";
  try {
    $(said).textContent = await work();
  } catch (error) {
    $(said).textContent = "";
    $(wrong).hidden = false;
    $(wrong).textContent = error.message;
  } finally {
    button.disabled = false;
    if (document.activeElement === document.body) button.focus();
  }
}

const controls = [...document.querySelectorAll("[data-column]")];
function valueOf(control) {
  const kind = control.dataset.kind;
  if (kind === "boolean") return control.value === "" ? null : control.value === "true";
  if (control.tagName === "SELECT" && control.selectedOptions[0]?.dataset.empty) return null;
  if (kind === "numeric") return control.value === "" ? null : Number(control.value);
  return control.value.trim() === "" ? null : control.value;
}
function theRow() {
  for (const control of controls) control.removeAttribute("aria-invalid");
  const bad = controls.find((control) => !control.validity.valid);
  if (bad) {
    bad.setAttribute("aria-invalid", "true");
    bad.focus();
    throw new Error(`${bad.dataset.column}: ${bad.validationMessage}`);
  }
  return Object.fromEntries(controls.map((control) => [control.dataset.column, valueOf(control)]));
}

let model = null;
const described = async () => (model ??= await (await ask(address)).json());

const labelOf = (task, value) => task.labels.find((one) => one.label.toLowerCase() === String(value).toLowerCase());
const answerOf = (task, row) => labelOf(task, row[task.prediction])?.label ?? shown(row[task.prediction]);
function summary(task, row) {
  const value = row[task.prediction];
  if (value === null) return `${task.name}: no prediction`;
  if (task.low !== undefined) return `${task.name}: ${shown(value)}, between ${shown(row[task.low])} and ${shown(row[task.high])}`;
  const own = labelOf(task, value);
  const probability = own ? row[own.column] : undefined;
  return `${task.name}: ${answerOf(task, row)}${probability === undefined ? "" : `, ${share.format(probability)}`}`;
}
function bars(task, row, sorted, name) {
  const body = make("tbody", null);
  const chosen = String(row[task.prediction]).toLowerCase();
  for (const { label, column } of sorted.slice(0, 20)) {
    const line = make("tr", null, label.toLowerCase() === chosen ? { class: "chosen" } : {});
    line.append(make("th", label, { scope: "row" }), make("td", share.format(row[column]), { class: "number" }));
    line.append(make("td", null, {}, bar(["", 0, row[column]])));
    body.append(line);
  }
  const table = make("table", null, { "aria-label": `${name} of ${task.name}` }, body);
  return sorted.length > 20 ? [table, make("p", `and ${sorted.length - 20} more`, { class: "hint" })] : [table];
}
function interval(task, row) {
  const [low, high, value] = [row[task.low], row[task.high], row[task.prediction]];
  const known = [low, high, value, task.usual].filter((one) => typeof one === "number");
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const place = (one) => (most > least ? (one - least) / (most - least) : 0.5) * 0.9 + 0.05;
  const marks = [["", place(low), place(high) - place(low)], ["point", place(value)]];
  if (typeof task.usual === "number") marks.push(["usual", place(task.usual)]);
  const text = `between ${shown(low)} and ${shown(high)}`;
  const usual = typeof task.usual === "number" ? `; thin line: ${shown(task.usual)}, usual in training` : "";
  return [bar(...marks), make("p", text + usual, { class: "hint" })];
}
function taskOf(task, row) {
  const part = make("section", null, { class: "task", "aria-label": task.name });
  const value = row[task.prediction];
  const head = make("h3", task.name);
  head.append(make("span", value === null ? "no prediction" : answerOf(task, row), { class: "answer" }));
  part.append(head);
  if (value === null) return part;
  if (task.low !== undefined) part.append(...interval(task, row));
  else if (typeof task.usual === "number") part.append(make("p", `usual in training: ${shown(task.usual)}`, { class: "hint" }));
  const byShare = [...task.labels].sort((a, b) => row[b.column] - row[a.column]);
  if (byShare.length) part.append(...bars(task, row, byShare, "Probabilities"));
  const curve = task.curve.map(({ label, column }) => ({ label: `left at ${label}`, column }));
  if (curve.length) part.append(...bars(task, row, curve, "Shares left"));
  if (task.set !== undefined) part.append(make("p", `likely: ${shown(row[task.set])}`, { class: "hint" }));
  for (const column of task.others) {
    if (row[column] !== null) part.append(make("p", `${column}: ${shown(row[column])}`, { class: "hint" }));
  }
  return part;
}
function showNotes(notes) {
  $("notes").replaceChildren(...notes.map((note) => make("li", note)));
  $("notes").hidden = !notes.length;
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  doing(event.submitter ?? $("form").querySelector("button"), "wrong", "said", async () => {
    const body = JSON.stringify([theRow()]);
    const { tasks } = await described();
    const options = { method: "POST", headers: { "Content-Type": "application/json" }, body };
    const answer = await (await ask(`${address}/predict?probabilities=all`, options)).json();
    const row = answer.rows[0];
    $("tasks").replaceChildren(...tasks.map((task) => taskOf(task, row)));
    showNotes(answer.notes);
    return tasks.map((task) => summary(task, row)).join("; ");
  });
});
$("form").addEventListener("reset", () => {
  for (const control of controls) control.removeAttribute("aria-invalid");
});

const upload = (accept) => {
  const headers = { "Content-Type": "text/csv", Accept: accept };
  return ask(`${address}/predict`, { method: "POST", headers, body: $("file").files[0] });
};
$("file-form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("file-rows").hidden = $("save").hidden = true;
  doing(event.submitter ?? $("file-form").querySelector("button"), "file-wrong", "file-said", async () => {
    const answer = await (await upload("application/json")).json();
    const columns = Object.keys(answer.rows[0] ?? {});
    const numeric = columns.filter((name) => answer.rows.every((row) => row[name] === null || typeof row[name] === "number"));
    const head = make("tr", null, {}, ...columns.map((name) => make("th", name, { scope: "col" })));
    const lines = answer.rows.slice(0, 50).map((row) => make("tr", null, {}, ...columns.map((name) =>
      make("td", row[name] === null ? "" : shown(row[name]), numeric.includes(name) ? { class: "number" } : {}))));
    const table = make("table", null, {}, make("thead", null, {}, head), make("tbody", null, {}, ...lines));
    $("file-rows").replaceChildren(table);
    $("file-rows").hidden = $("save").hidden = false;
    const first = answer.rows.length > 50 ? ", the first 50 are shown" : "";
    return `${answer.rows.length} rows are predicted${first}.${answer.notes.map((note) => ` Note: ${note}.`).join("")}`;
  });
});
$("save").addEventListener("click", () =>
  doing($("save"), "file-wrong", "file-said", async () => {
    const link = make("a", null, { download: "predictions.csv" });
    link.href = URL.createObjectURL(await (await upload("text/csv")).blob());
    link.click();
    URL.revokeObjectURL(link.href);
    return "predictions.csv is saved.";
  }));

$("explain").addEventListener("click", () =>
  doing($("explain"), "explain-wrong", "explain-said", async () => {
    const found = (await (await ask(`${address}/importance`, { method: "POST" })).json()).importance;
    const most = Math.max(...found.map((one) => one.skill_lost), 1e-9);
    const names = [...new Set(found.map((one) => one.task))];
    $("importance").replaceChildren(...names.map((task) => {
      const body = make("tbody", null);
      for (const one of found.filter((other) => other.task === task).slice(0, 15)) {
        const text = minus(`${one.skill_lost.toFixed(3)} (${one.low.toFixed(3)} to ${one.high.toFixed(3)})`);
        const line = make("tr", null, {}, make("th", one.feature, { scope: "row" }), make("td", text, { class: "number" }));
        line.append(make("td", null, {}, bar(["", 0, Math.max(one.skill_lost, 0) / most])));
        body.append(line);
      }
      return make("section", null, { "aria-label": task }, make("h3", task), make("table", null, { "aria-label": `Skill lost of ${task}` }, body));
    }));
    return `Skill lost, with 95 % intervals, of ${names.join(", ")}.`;
  }));

$("curl").textContent += new URL(`${address}/predict`, document.baseURI).href;
