// Draws a feeder as the API beside it has it: its lines and buses, coloured by load and voltage.
import cytoscape from "./cytoscape.mjs";

const EVERY_MS = 5000, NEAR = 0.8, LOW_PU = 0.95;
const byId = (id) => document.getElementById(id);
const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const shade = (share) => tone(share > 1 ? "over" : share > NEAR ? "near" : "good");
const number = (value, digits) => (value ?? null) === null ? "–" : value.toFixed(digits);
const upright = innerWidth < innerHeight;
const diagram = cytoscape({ container: byId("diagram"), userZoomingEnabled: false, userPanningEnabled: false, autoungrabify: true });
let drawn = "";

async function ask(path) {
  const answer = await fetch(`/v1/${path}`);
  const found = await answer.json();
  if (!answer.ok) throw new Error(`${found.title}. ${found.remedy ?? ""}`);
  return found;
}

async function draw(feeder) {
  const { lines } = await ask(`feeders/${encodeURIComponent(feeder)}/lines`);
  const { buses } = await ask(`feeders/${encodeURIComponent(feeder)}/buses`);
  diagram.elements().remove();
  diagram.add([
    ...buses.map((bus) => ({ data: { id: bus.id, label: String(bus.number), rated: bus.rated_kva } })),
    ...lines.map((line) => ({ data: { id: `${line.from_bus} ${line.to_bus}`, source: line.from_bus, target: line.to_bus } })),
  ]);
  const [first] = [...buses].sort((a, b) => a.number - b.number);
  diagram.layout({ name: "breadthfirst", roots: [first.id], directed: false, direction: upright ? "downward" : "rightward", padding: 24, spacingFactor: 1.1 }).run();
  drawn = feeder;
}

function colour(load, state) {
  const loads = new Map(load.buses.map((bus) => [bus.bus_id, bus]));
  for (const { bus_id, voltage_pu } of state.buses) {
    const { kw, kvar } = loads.get(bus_id) ?? {};
    const node = diagram.getElementById(bus_id), rated = node.data("rated");
    node.data({ kw, kvar, voltage_pu, share: rated ? Math.hypot(kw ?? 0, kvar ?? 0) / rated : 0 });
  }
  for (const { from_bus, to_bus, share_of_rating } of state.lines) {
    diagram.getElementById(`${from_bus} ${to_bus}`).data("share", share_of_rating ?? 0);
  }
  diagram.style([
    { selector: "node", style: { label: "data(label)", color: tone("ink"), "font-size": 13, width: 20, height: 20,
      "text-halign": upright ? "right" : "center", "text-valign": upright ? "center" : "top", "text-margin-x": upright ? 3 : 0,
      "background-color": (node) => shade(node.data("share")), "border-color": tone("low"),
      "border-width": (node) => node.data("voltage_pu") < LOW_PU ? 5 : 0 } },
    { selector: "edge", style: { width: (edge) => 2 + 6 * Math.min(1, edge.data("share") ?? 0),
      "line-color": (edge) => shade(edge.data("share")) } },
  ]);
  byId("buses").replaceChildren(...diagram.nodes().map((node) => {
    const { id, kw, kvar, voltage_pu } = node.data(), row = document.createElement("tr");
    for (const text of [id, number(kw, 1), number(kvar, 1), number(voltage_pu, 4)]) row.insertCell().textContent = text;
    return row;
  }));
}

// A screen reader says it, so only what is new: the figures change every few seconds.
function say(text) {
  if (byId("status").textContent !== text) byId("status").textContent = text;
}

async function show() {
  try {
    const chosen = byId("feeder").value;
    if (chosen !== drawn) await draw(chosen);
    const path = `feeders/${encodeURIComponent(chosen)}`;
    const [load, state, { overloads }] = await Promise.all([ask(`${path}/load`), ask(`${path}/state`), ask("overloads")]);
    colour(load, state);
    const here = overloads.filter((overload) => overload.feeder_id === chosen).length;
    byId("figures").textContent = `${load.kw.toFixed(0)} kW, ${(100 * load.share_of_rating).toFixed(0)} % of the rating; lowest voltage ` +
      `${state.lowest.voltage_pu.toFixed(3)} p.u. at ${state.lowest.bus_id}; at ${new Date().toLocaleTimeString()}`;
    say(`${here} overloaded`);
  } catch (failed) {
    say(`No figures: ${failed.message}`);
  }
}

async function begin() {
  try {
    const { feeders } = await ask("feeders");
    byId("feeder").replaceChildren(...feeders.map(({ id, name }) => new Option(name, id)));
    byId("feeder").addEventListener("change", show);
    await show();
    setInterval(() => document.hidden || show(), EVERY_MS);
  } catch (failed) {
    say(`No feeders: ${failed.message}`);
  }
}

begin();
