// Runs the scenarios against both addresses and shows the outcomes.

import { SCENARIOS, consoleLine } from "./scenarios.js";
import { SIDES, ScenarioView } from "./view.js";

const byId = (id) => document.getElementById(id);

async function reachable(base) {
  try {
    // Without CORS the response is opaque, but its arrival shows that the server runs.
    await fetch(`${base}/livez`, { mode: "no-cors" });
    return true;
  } catch {
    return false;
  }
}

function isOtherOrigin(settings) {
  return location.origin !== settings.page;
}

async function explainFailure(scenario, side, base, settings, error) {
  if (!(await reachable(base))) {
    return ["unreachable", { words: `No response from ${base}. Is it running?` }];
  }
  const quote = consoleLine(scenario, side);
  const thrown = `${error}`;
  if (side === "proxied" && isOtherOrigin(settings)) {
    const words = `This page's origin is ${location.origin}, which allow_origins does not list, so corsproxy sends no CORS headers for it.`;
    return ["refused", { words, quote, thrown }];
  }
  const state = side === "proxied" && scenario.refusedOnPurpose ? "refused" : "blocked";
  const words = scenario.words[side][state] ?? "The browser blocked it.";
  return [state, { words, quote, thrown }];
}

async function runSide(scenario, view, side, settings) {
  const base = side === "direct" ? settings.api : settings.proxy;
  view.clear();
  view.show("running");
  try {
    const state = await scenario.run(base, (line) => view.print(line));
    view.show(state, { words: scenario.words[side][state] ?? "The browser allowed it." });
    return state;
  } catch (error) {
    const [state, { words, quote, thrown }] = await explainFailure(scenario, side, base, settings, error);
    if (thrown) view.print(`The page got only: ${thrown}`);
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
    `Directly: ${count(0, "works")} of ${outcomes.length} work.`,
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
  // One after the other: signing in has to come before the requests that need the cookie.
  for (const [index, scenario] of SCENARIOS.entries()) {
    outcomes.push(await runScenario(scenario, views[index], settings));
  }
  byId("summary").textContent = summary(outcomes);
  byId("summary").dataset.done = "true";
  button.disabled = false;
}

function otherOrigin() {
  const url = new URL(location.href);
  url.hostname = url.hostname === "localhost" ? "127.0.0.1" : "localhost";
  return url.origin;
}

function showSettings(settings) {
  byId("place-page").textContent = location.origin;
  byId("place-api").textContent = settings.api;
  byId("place-proxy").textContent = settings.proxy;
  if (settings.config) {
    byId("config").hidden = false;
    byId("config-text").textContent = settings.config;
  }
  if (isOtherOrigin(settings)) {
    byId("not-allowed").hidden = false;
    byId("not-allowed-words").textContent =
      `The policy allows ${settings.page}. To a browser, ${location.origin} is a different origin, although it serves the same page, so this page cannot read any response below.`;
    byId("not-allowed-link").href = settings.page;
  } else {
    byId("other-origin").hidden = false;
    byId("other-origin-link").href = otherOrigin();
  }
}

async function main() {
  const response = await fetch("/settings.json");
  const settings = await response.json();
  showSettings(settings);
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
