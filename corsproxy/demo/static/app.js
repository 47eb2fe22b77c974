// Runs the scenarios against both addresses and tells the view. Knows the settings and outcomes.

import { SCENARIOS, consoleLine } from "./scenarios.js";
import { SIDES, ScenarioView } from "./view.js";

const byId = (id) => document.getElementById(id);

async function reachable(base) {
  try {
    // Without CORS the answer is opaque, but that there was one tells blocked from not running.
    await fetch(`${base}/livez`, { mode: "no-cors" });
    return true;
  } catch {
    return false;
  }
}

function stranger(settings) {
  return location.origin !== settings.page;
}

async function judge(scenario, side, base, settings, error) {
  if (!(await reachable(base))) {
    return ["unreachable", { words: `Nothing answers at ${base}. Is it running?` }];
  }
  const quote = consoleLine(scenario, side);
  const said = `${error}`;
  if (side === "proxied" && stranger(settings)) {
    const words = `This page's origin is ${location.origin}, which allow_origins does not list. corsproxy gives it no permission.`;
    return ["refused", { words, quote, said }];
  }
  const state = side === "proxied" && scenario.refusedOnPurpose ? "refused" : "blocked";
  const words = scenario.words[side][state] ?? "The browser blocked it.";
  return [state, { words, quote, said }];
}

async function runSide(scenario, view, side, settings) {
  const base = side === "direct" ? settings.api : settings.proxy;
  view.clear();
  view.show("running");
  try {
    const state = await scenario.run(base, (line) => view.tell(line));
    view.show(state, { words: scenario.words[side][state] ?? "The browser let it through." });
    return state;
  } catch (error) {
    const [state, { words, quote, said }] = await judge(scenario, side, base, settings, error);
    if (said) view.tell(`The page got only: ${said}`);
    view.show(state, { words, quote: quote ? `Console: ${quote}` : "" });
    return state;
  }
}

async function runScenario(scenario, view, settings) {
  view.button.disabled = true;
  const states = await Promise.all(
    SIDES.map((side, index) => runSide(scenario, view.sides[index], side.id, settings)),
  );
  view.button.disabled = false;
  return states;
}

function summary(outcomes) {
  const count = (index, state) => outcomes.filter((states) => states[index] === state).length;
  const parts = [
    `Straight: ${count(0, "works")} of ${outcomes.length} work.`,
    `Through corsproxy: ${count(1, "works")} of ${outcomes.length} work`,
  ];
  const refused = count(1, "refused");
  return `${parts.join(" ")}${refused ? `, ${refused} refused by the policy` : ""}.`;
}

async function runAll(views, settings) {
  const button = byId("run-all");
  button.disabled = true;
  byId("summary").textContent = "Running…";
  const outcomes = [];
  // One after the other: signing in comes before what needs the cookie.
  for (const [index, scenario] of SCENARIOS.entries()) {
    outcomes.push(await runScenario(scenario, views[index], settings));
  }
  byId("summary").textContent = summary(outcomes);
  byId("summary").dataset.done = "true";
  button.disabled = false;
}

function otherName() {
  const url = new URL(location.href);
  url.hostname = url.hostname === "localhost" ? "127.0.0.1" : "localhost";
  return url.origin;
}

function tellPlaces(settings) {
  byId("place-page").textContent = location.origin;
  byId("place-api").textContent = settings.api;
  byId("place-proxy").textContent = settings.proxy;
  if (settings.config) {
    byId("config").hidden = false;
    byId("config-text").textContent = settings.config;
  }
  if (stranger(settings)) {
    byId("stranger").hidden = false;
    byId("stranger-words").textContent =
      `The policy allows ${settings.page}. To a browser ${location.origin} is somebody else, even though it is the same page, so nothing below may be read.`;
    byId("stranger-link").href = settings.page;
  } else {
    byId("as-stranger").hidden = false;
    byId("as-stranger-link").href = otherName();
  }
}

async function main() {
  const response = await fetch("/settings.json");
  const settings = await response.json();
  tellPlaces(settings);
  const views = SCENARIOS.map((scenario, index) => new ScenarioView(scenario, index + 1));
  byId("scenarios").append(...views.map((view) => view.root));
  views.forEach((view, index) => {
    view.button.addEventListener("click", () => runScenario(SCENARIOS[index], view, settings));
  });
  byId("run-all").addEventListener("click", () => runAll(views, settings));
  await runAll(views, settings);
}

main().catch((error) => {
  byId("summary").textContent = `The page could not start: ${error}`;
});
