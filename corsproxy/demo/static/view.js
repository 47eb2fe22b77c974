// Builds and updates the elements that show the scenarios.
//
// What a server sent or the address bar contains is inserted as text, never as markup.

export const SIDES = [
  { id: "direct", title: "Directly to the legacy API" },
  { id: "proxied", title: "Through corsproxy" },
];

const BADGES = {
  waiting: ["·", "Not run yet"],
  running: ["…", "Running"],
  works: ["✓", "Works"],
  blocked: ["✕", "Blocked by the browser"],
  hidden: ["◐", "Readable, but hidden"],
  refused: ["⊘", "Refused by the policy"],
  unreachable: ["!", "Unreachable"],
};

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

export class SideView {
  constructor(side) {
    this.root = element("section", "side");
    this.root.dataset.side = side.id;
    this.root.setAttribute("aria-label", side.title);
    this.symbol = element("span", "symbol");
    this.symbol.setAttribute("aria-hidden", "true");
    this.label = element("span", "label");
    const badge = element("p", "badge");
    badge.append(this.symbol, this.label);
    this.words = element("p", "words");
    this.output = element("pre", "output");
    this.quote = element("p", "quote");
    const head = element("div", "side-head");
    head.append(element("h3", "", side.title), badge);
    this.root.append(head, this.words, this.output, this.quote);
    this.show("waiting");
  }

  show(state, { words = "", quote = "" } = {}) {
    const [symbol, label] = BADGES[state];
    this.root.dataset.state = state;
    this.symbol.textContent = symbol;
    this.label.textContent = label;
    this.words.textContent = words;
    this.quote.textContent = quote;
  }

  clear() {
    this.output.textContent = "";
  }

  print(line) {
    this.output.append(`${line}\n`);
  }
}

export class ScenarioView {
  constructor(scenario, number) {
    this.root = element("article", "scenario");
    this.root.id = scenario.id;
    const heading = element("h2", "");
    heading.append(element("span", "number", String(number)), scenario.title);
    heading.id = `${scenario.id}-title`;
    this.root.setAttribute("aria-labelledby", heading.id);
    this.button = element("button", "again", "Run");
    this.button.type = "button";
    this.button.setAttribute("aria-label", `Run: ${scenario.title}`);
    const head = element("div", "scenario-head");
    head.append(heading, this.button);
    const about = element("p", "about");
    about.append(element("code", "", scenario.request), element("span", "", scenario.intent));
    this.sides = SIDES.map((side) => new SideView(side));
    const pair = element("div", "pair");
    pair.append(...this.sides.map((side) => side.root));
    this.root.append(head, about, pair);
  }
}
