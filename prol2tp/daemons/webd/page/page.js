"use strict";
// The page: a stream of samples and drops, and answers to questions. Whatever peers call themselves stays text.

const byId = (id) => document.getElementById(id);
const samples = [];
let drops = [];
const KEPT = 900;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") made.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}
const number = (value, digits = 0) =>
  value === null || value === undefined ? "–" : value.toLocaleString(undefined, { maximumFractionDigits: digits });
const clock = (time) => new Date(time * 1000).toLocaleTimeString();
const moment = (time) => new Date(time * 1000).toLocaleString();
function duration(seconds) {
  if (!seconds) return "–";
  const whole = Math.floor(seconds);
  const two = (value) => String(value).padStart(2, "0");
  const days = Math.floor(whole / 86400);
  return (days ? `${days} d ` : "") + `${two(Math.floor(whole / 3600) % 24)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

function rows(target, caption, columns, list, empty) {
  if (!list.length) { target.replaceChildren(element("p", { class: "note" }, empty)); return; }
  // roles: on a phone rows are no table in the eyes of CSS, but still one to screen readers
  const head = element("tr", { role: "row" }, ...columns.map(([title, , kind]) =>
    element("th", { role: "columnheader", scope: "col", class: kind }, title)));
  const body = list.map((row) => element("tr", { role: "row" }, ...columns.map(([title, cell, kind]) => {
    const value = cell(row);
    return element("td", { role: "cell", class: kind, "data-title": title }, value instanceof Node ? value : String(value ?? ""));
  })));
  target.replaceChildren(element("table", { role: "table" }, element("caption", { class: "unseen" }, caption),
    element("thead", { role: "rowgroup" }, head), element("tbody", { role: "rowgroup" }, ...body)));
}

// charts

const SVG = "http://www.w3.org/2000/svg";
function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
function niceTop(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= value);
}
function chart(id, keysId, lines, digits) {
  const target = byId(id), width = Math.max(target.clientWidth, 240), height = 144, left = 46, bottom = 20, up = 8;
  const from = Date.now() / 1000 - KEPT * 2;
  const known = samples.filter((sample) => sample.time >= from);
  const first = known.length ? known[0].time : from, last = known.length ? known[known.length - 1].time : from + 1;
  const span = Math.max(last - first, 60);
  const values = lines.map(([, , value]) => known.map(value));
  const top = niceTop(Math.max(...values.flat().filter((value) => value !== null && value !== undefined), 0));
  const x = (time) => left + (width - left - 4) * (1 - (last - time) / span);
  const y = (value) => up + (height - up - bottom) * (1 - value / top);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  const now = lines.map(([name], line) => `${name} ${number(values[line].at(-1), digits)}`).join(", ");
  svg.append(shape("title", {}, `${now}; scale to ${number(top, 2)}, ${Math.round(span / 60)} minutes`));
  for (const part of [0, 0.5, 1]) {
    svg.append(shape("line", { class: "grid", x1: left, x2: width - 4, y1: y(top * part), y2: y(top * part) }));
    svg.append(shape("text", { x: left - 6, y: y(top * part) + 4, "text-anchor": "end" }, number(top * part, 2)));
  }
  svg.append(shape("text", { x: left, y: height - 4 }, clock(last - span)));
  svg.append(shape("text", { x: width - 4, y: height - 4, "text-anchor": "end" }, clock(last)));
  lines.forEach(([, color], line) => {
    let path = "", pen = false;
    known.forEach((sample, place) => {
      const value = values[line][place];
      if (value === null || value === undefined) { pen = false; return; }
      path += `${pen ? "L" : "M"}${x(sample.time).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = true;
    });
    svg.append(shape("path", { d: path || "M0 0", fill: "none", stroke: `var(${color})`, "stroke-width": 2, "stroke-linejoin": "round" }));
  });
  target.replaceChildren(svg);
  byId(keysId).replaceChildren(...lines.map(([name, color], line) => {
    const mark = element("i"); mark.style.background = `var(${color})`;
    return element("span", {}, mark, `${name} `, element("b", {}, number(values[line].at(-1), digits)));
  }));
}
function draw() {
  chart("chart-up", "keys-up", [["sessions", "--one", (s) => s.sessions], ["links", "--two", (s) => s.links],
    ["tunnels", "--three", (s) => s.tunnels]], 0);
  chart("chart-rate", "keys-rate", [["set-ups", "--one", (s) => s.setups], ["ends", "--two", (s) => s.ends]], 1);
  chart("chart-trip", "keys-trip", [["mean", "--one", (s) => s.trips ? 1000 * s.trip_seconds / s.trips : null],
    ["timeouts/s", "--two", (s) => s.timeouts]], 1);
}

// what is

function show(state) {
  byId("daemons").replaceChildren(...Object.entries(state.daemons).map(([name, up]) =>
    element("li", { class: up ? "up" : "down" }, name, element("span", { class: "unseen" }, up ? " is up" : " does not answer"))));
  const last = samples.at(-1) || {};
  const figures = [["tunnels up", number(last.tunnels)], ["sessions up", number(last.sessions)], ["PPP links up", number(last.links)]];
  if ("proacd" in state.daemons) figures.push(["routes", number(last.routes)]);
  figures.push(["set-ups / s", number(last.setups, 1)], ["drops / s", number(last.ends, 1)], ["RADIUS / s", number(last.requests, 1)]);
  byId("now").replaceChildren(...figures.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  const causes = Object.entries(state.causes), most = Math.max(1, ...causes.map(([, count]) => count));
  byId("causes").replaceChildren(...(causes.length ? causes.map(([cause, count]) =>
    element("div", { class: "bar" }, element("span", {}, cause),
      element("meter", { min: 0, max: most, value: count, "aria-label": cause }, String(count)), element("span", {}, number(count))))
    : [element("p", { class: "note" }, "None since this page's server was started.")]));
  rows(byId("servers"), "RADIUS servers", [
    ["server", (row) => row.name], ["for", (row) => row.kind === "auth" ? "authentication" : "accounting"],
    ["state", (row) => element("span", { class: row.alive ? "good" : "bad" }, row.alive ? "up" : "dead")],
    ["since", (row) => duration(row.state_seconds), "named"], ["requests", (row) => number(row.requests), "number"],
    ["timeouts", (row) => number(row.timeouts), "number"]], state.servers, "None is configured.");
  byId("queue").textContent = state.queue === null || state.queue === undefined ? "" :
    `Accounting records that no server has yet: ${number(state.queue)}.`;
  byId("pools").replaceChildren(...(state.pools.length ? state.pools.map((pool) =>
    element("div", { class: "bar" }, element("span", {}, pool.name),
      element("meter", { min: 0, max: pool.size || 1, value: pool.used, "aria-label": pool.name }, `${pool.used}`),
      element("span", {}, `${number(pool.used)}/${number(pool.size)}`))) : [element("p", { class: "note" }, "None is configured.")]));
}
function showDrops() {
  rows(byId("drops"), "Recent drops", [
    ["time", (row) => clock(row.time)], ["user", (row) => row.user || "–"], ["what", (row) => row.id],
    ["cause", (row) => row.cause], ["reason", (row) => row.reason, "wrap"]], drops.slice(-25).reverse(), "None yet.");
}

// questions

async function ask(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
  return answer.json();
}
function trouble(target, error) { target.replaceChildren(element("p", { class: "bad" }, error.message)); }
const linkButton = (row) => element("button", { type: "button", onclick: () => open(`api/link/${encodeURIComponent(row.name)}`, row.name) }, row.name);
const linkColumns = [["link", linkButton], ["user", (row) => row.user || "–"], ["state", (row) => row.state],
  ["up for", (row) => duration(row.duration)], ["interface", (row) => row.interface || "–"], ["carried by", (row) => row.id]];

function box(title, ...lines) {
  return element("li", {}, element("strong", {}, title), ...lines.filter(Boolean).map((line) => element("span", {}, line)));
}
function path(answer) {
  const { link, session, tunnel } = answer, boxes = [];
  if (link) boxes.push(box(link.user || "nobody yet", `PPP ${link.name}, ${link.state}`, link.up ? `up for ${duration(link.connect_seconds)}` : "",
    [link.ipcp?.peer_ip, link.interface].filter(Boolean).join(" on "), `MTU ${link.mtu}`));
  if (session) boxes.push(box(`L2TP session ${session.session_id}`, `${session.state} for ${duration(session.state_seconds)}`,
    session.calling_number ? `calling ${session.calling_number}` : "",
    session.stats ? `received ${number(session.stats.rx_octets)}, sent ${number(session.stats.tx_octets)} octets` : ""));
  if (tunnel) boxes.push(box(`Tunnel ${tunnel.tunnel_id}`, `${tunnel.state}, ${number(tunnel.sessions)} sessions`, `as ${tunnel.mode} towards`,
    tunnel.peer_host_name, tunnel.peer));
  const withArrows = boxes.flatMap((one, place) => place ? [element("li", { class: "arrow", "aria-hidden": "true" }, "→"), one] : [one]);
  return element("ol", { class: "path", "aria-label": "Path of the session" }, ...withArrows);
}
async function open(where, title) {
  const target = byId("found");
  byId("result").hidden = false;
  byId("result-title").textContent = title;
  try {
    const answer = await ask(where);
    const events = element("div", { class: "scroll" });
    rows(events, "Events", [["time", (row) => moment(row.time)], ["daemon", (row) => row.daemon], ["event", (row) => row.event],
      ["why", (row) => [row.data.cause, row.data.reason || row.data.message].filter(Boolean).join(": "), "wrap"]], answer.events,
      "No events since this page's server was started.");
    target.replaceChildren(path(answer), element("h3", {}, "What happened"), events);
  } catch (error) { trouble(target, error); }
  byId("result").focus();
  byId("result").scrollIntoView({ block: "nearest" });
}
byId("search").addEventListener("submit", async (event) => {
  event.preventDefault();
  const word = byId("user").value.trim(), target = byId("found");
  const call = word.match(/^(\d+)\/(\d+)$/);
  if (/^session-\d+$/.test(word)) return open(`api/link/${word}`, word);
  if (call) return open(`api/session/${call[1]}-${call[2]}`, word);
  byId("result").hidden = false;
  byId("result-title").textContent = `Links of ${word}`;
  try {
    const { rows: found } = await ask(`api/find?user=${encodeURIComponent(word)}`);
    if (found.length === 1) return open(`api/link/${encodeURIComponent(found[0].name)}`, word);
    rows(target, "Links", linkColumns, found, "This user has no link now.");
    const before = drops.filter((row) => row.user === word);
    if (before.length) {
      const list = element("div", { class: "scroll" });
      rows(list, "Drops of this user", [["time", (row) => moment(row.time)], ["cause", (row) => row.cause],
        ["reason", (row) => row.reason, "wrap"]], before.reverse(), "");
      target.append(element("h3", {}, "Dropped"), list);
    }
  } catch (error) { trouble(target, error); }
  byId("result").focus();
});
byId("close").addEventListener("click", () => { byId("result").hidden = true; byId("user").focus(); });

function list(buttonId, targetId, what, caption, columns) {
  const button = byId(buttonId), target = byId(targetId);
  let cursor = "", known = [];
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const page = await ask(`api/${what}?cursor=${encodeURIComponent(cursor)}`);
      known = cursor ? known.concat(page.rows) : page.rows;
      cursor = page.cursor;
      rows(target, caption, columns, known, "There is none.");
      button.textContent = cursor ? "More" : "Load again";
    } catch (error) { trouble(target, error); cursor = ""; }
    button.disabled = false;
  });
}
list("load-tunnels", "tunnels", "tunnels", "Tunnels", [["tunnel", (row) => row.tunnel_id, "number"], ["name", (row) => row.name || "–"],
  ["state", (row) => row.state], ["for", (row) => duration(row.state_seconds), "named"], ["peer", (row) => row.peer],
  ["sessions", (row) => number(row.sessions), "number"]]);
list("load-links", "links", "links", "PPP links", linkColumns);

// the stream

const stream = new EventSource("stream");
const said = (text) => { byId("connection").textContent = text; };
stream.addEventListener("hello", (event) => {
  const value = JSON.parse(event.data);
  samples.splice(0, samples.length, ...value.samples);
  drops = value.drops;
  said("live");
  show(value.state); showDrops(); draw();
});
stream.addEventListener("sample", (event) => {
  const value = JSON.parse(event.data);
  samples.push(value.sample);
  if (samples.length > KEPT) samples.shift();
  show(value.state); draw();
  said(`live, ${clock(value.sample.time)}`);
});
stream.addEventListener("drops", (event) => { drops = drops.concat(JSON.parse(event.data)).slice(-200); showDrops(); });
stream.addEventListener("error", () => said("connection lost; trying again"));
addEventListener("resize", draw);
