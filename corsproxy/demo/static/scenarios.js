// The requests of the demo and what they mean in plain words. Knows fetch and EventSource, no DOM.
//
// `run(base, tell)` makes the request against one origin, reports each line worth showing by `tell`
// and returns "works" or "hidden"; what it throws, the browser did. `words` say why, by side and
// outcome; `console` is what Chromium prints about the direct request, `preflighted` tells whether
// the browser asks first, which is what it then prints about one that the proxy refuses.

const NO_HEADER =
  "No 'Access-Control-Allow-Origin' header is present on the requested resource.";

const PREFLIGHT_NO_HEADER =
  `Response to preflight request doesn't pass access control check: ${NO_HEADER}`;

export function consoleLine(scenario, side) {
  if (side === "direct") return scenario.console;
  return scenario.preflighted ? PREFLIGHT_NO_HEADER : NO_HEADER;
}

async function signIn(base) {
  await fetch(`${base}/login`, { method: "POST", credentials: "include" });
}

async function tellAnswer(response, tell) {
  const text = (await response.text()).trim();
  tell(`${response.status} ${response.statusText}`.trim());
  tell(text.length > 220 ? `${text.slice(0, 220)}…` : text);
}

export const SCENARIOS = [
  {
    id: "read",
    title: "Read a list",
    request: "GET /orders",
    intent: "The simplest request there is: no cookies, no special headers.",
    async run(base, tell) {
      await tellAnswer(await fetch(`${base}/orders`), tell);
      return "works";
    },
    words: {
      direct: {
        blocked:
          "The API answered, but it never said that other origins may read the answer. So the browser keeps it from this page.",
      },
      proxied: {
        works: "corsproxy adds the missing permission for exactly this page's origin.",
      },
    },
    console: NO_HEADER,
  },
  {
    id: "account",
    title: "Sign in and read your account",
    request: "GET /account with cookies",
    intent: "The API tries to help with “allow everybody”, which is never valid together with cookies.",
    async run(base, tell) {
      await signIn(base);
      const response = await fetch(`${base}/account`, { credentials: "include" });
      await tellAnswer(response, tell);
      return "works";
    },
    words: {
      direct: {
        blocked:
          "The API allows “*”, everybody. For a request that carries cookies a browser does not take that: it wants the origin by name.",
      },
      proxied: {
        works:
          "corsproxy takes the API's own wrong header away and sends the right two: this origin by name, and leave to use cookies.",
      },
    },
    console:
      "The value of the 'Access-Control-Allow-Origin' header in the response must not be the wildcard '*' when the request's credentials mode is 'include'.",
  },
  {
    id: "write",
    title: "Change an order",
    request: "PUT /orders/7 as JSON, with cookies",
    intent: "Not a request that a form could send, so the browser asks first: the preflight.",
    async run(base, tell) {
      const response = await fetch(`${base}/orders/7`, {
        method: "PUT",
        credentials: "include",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ item: "teapot", quantity: 3 }),
      });
      await tellAnswer(response, tell);
      return "works";
    },
    words: {
      direct: {
        blocked:
          "The browser asked with OPTIONS whether it may send a PUT. The API knows no OPTIONS and said 405, so the PUT was never sent.",
      },
      proxied: {
        works:
          "corsproxy answers the question itself, by the policy, and the API only sees the PUT.",
      },
    },
    console: PREFLIGHT_NO_HEADER,
    preflighted: true,
  },
  {
    id: "error",
    title: "See what went wrong",
    request: "GET /broken",
    intent: "The API fails. A page can only react to an error that it can read.",
    async run(base, tell) {
      await tellAnswer(await fetch(`${base}/broken`), tell);
      return "works";
    },
    words: {
      direct: {
        blocked:
          "It is an ordinary 500, but the page sees only “failed”: the real fault hides behind a CORS error.",
      },
      proxied: {
        works: "Errors carry the same permission as answers, so the page reads status and text.",
      },
    },
    console: NO_HEADER,
  },
  {
    id: "header",
    title: "Read a response header",
    request: "GET /catalogue, header X-Total-Count",
    intent: "Here “allow everybody” is good enough to read the answer, but not its headers.",
    async run(base, tell) {
      const response = await fetch(`${base}/catalogue`);
      const total = response.headers.get("X-Total-Count");
      tell(`X-Total-Count: ${total === null ? "(hidden)" : total}`);
      return total === null ? "hidden" : "works";
    },
    words: {
      direct: {
        hidden: "Most headers stay hidden from other origins until the server names them as exposed.",
      },
      proxied: {
        works: "The policy lists this header under expose_headers, so the page may read it.",
        hidden: "The answer may be read, but expose_headers does not list this header.",
      },
    },
    console: "",
  },
  {
    id: "stream",
    title: "Follow a delivery live",
    request: "GET /events (server-sent events)",
    intent: "An answer that arrives piece by piece. The times show that nothing is held back.",
    run(base, tell) {
      const started = performance.now();
      return new Promise((resolve, reject) => {
        const source = new EventSource(`${base}/events`);
        source.onmessage = (event) => {
          const seconds = ((performance.now() - started) / 1000).toFixed(1);
          tell(`+${seconds} s  ${event.data}`);
        };
        source.addEventListener("end", () => {
          source.close();
          resolve("works");
        });
        source.onerror = () => {
          source.close();
          reject(new TypeError("EventSource: error"));
        };
      });
    },
    words: {
      direct: {
        blocked: "An event stream from another origin needs the same permission, and there is none.",
      },
      proxied: {
        works: "Every event is passed on in the moment it comes; corsproxy waits for no end.",
      },
    },
    console: NO_HEADER,
  },
  {
    id: "refused",
    title: "Delete an order: refused, and that is right",
    request: "DELETE /orders/8 with cookies",
    intent: "The policy of this demo does not list DELETE. A proxy that allowed everything would be no protection.",
    refusedOnPurpose: true,
    async run(base, tell) {
      const response = await fetch(`${base}/orders/8`, { method: "DELETE", credentials: "include" });
      await tellAnswer(response, tell);
      return "works";
    },
    words: {
      direct: {
        blocked: "Blocked because the API cannot answer the browser's question, not because anybody decided so.",
      },
      proxied: {
        refused:
          "allow_methods lists GET and PUT only. corsproxy says no to the question, and the API never hears of it. To allow it, add DELETE there.",
      },
    },
    console: PREFLIGHT_NO_HEADER,
    preflighted: true,
  },
];
