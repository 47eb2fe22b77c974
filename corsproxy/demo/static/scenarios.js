// The requests of the demo, with an explanation of each outcome.
//
// `run(base, print)` sends the request to one origin, calls `print` with each line to show, and
// returns "works" or "hidden"; it throws what the browser throws. `words` explain the outcome by side
// and state. `console` is what Chromium prints about the direct request. `preflighted` requests are
// preceded by a preflight, so Chromium prints another line if the proxy refuses them.

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

async function printResponse(response, print) {
  const text = (await response.text()).trim();
  print(`${response.status} ${response.statusText}`.trim());
  print(text.length > 220 ? `${text.slice(0, 220)}…` : text);
}

export const SCENARIOS = [
  {
    id: "read",
    title: "Read a list",
    request: "GET /orders",
    intent: "The simplest request: no cookies, no special headers.",
    async run(base, print) {
      await printResponse(await fetch(`${base}/orders`), print);
      return "works";
    },
    words: {
      direct: {
        blocked:
          "The API responded, but without a header that allows other origins to read the response. So the browser does not let this page read it.",
      },
      proxied: {
        works: "corsproxy adds the missing header, for exactly this page's origin.",
      },
    },
    console: NO_HEADER,
  },
  {
    id: "account",
    title: "Sign in and read your account",
    request: "GET /account with cookies",
    intent: "The API tries to help by allowing every origin, which is not valid together with cookies.",
    async run(base, print) {
      await signIn(base);
      const response = await fetch(`${base}/account`, { credentials: "include" });
      await printResponse(response, print);
      return "works";
    },
    words: {
      direct: {
        blocked:
          "The API allows “*”, which means every origin. Browsers do not accept that for a request with cookies: the header has to contain this page's origin.",
      },
      proxied: {
        works:
          "corsproxy replaces the API's wrong header with the right two: one allows this origin, the other allows cookies.",
      },
    },
    console:
      "The value of the 'Access-Control-Allow-Origin' header in the response must not be the wildcard '*' when the request's credentials mode is 'include'.",
  },
  {
    id: "write",
    title: "Change an order",
    request: "PUT /orders/7 as JSON, with cookies",
    intent: "A form could not send this request, so the browser sends a preflight first.",
    async run(base, print) {
      const response = await fetch(`${base}/orders/7`, {
        method: "PUT",
        credentials: "include",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ item: "teapot", quantity: 3 }),
      });
      await printResponse(response, print);
      return "works";
    },
    words: {
      direct: {
        blocked:
          "The browser sent a preflight, an OPTIONS request, to find out whether the PUT is allowed. The API responded with 405, so the PUT was never sent.",
      },
      proxied: {
        works:
          "corsproxy responds to the preflight itself, according to the policy, and forwards only the PUT to the API.",
      },
    },
    console: PREFLIGHT_NO_HEADER,
    preflighted: true,
  },
  {
    id: "error",
    title: "See what went wrong",
    request: "GET /broken",
    intent: "The API fails. A page can react only to an error that it can read.",
    async run(base, print) {
      await printResponse(await fetch(`${base}/broken`), print);
      return "works";
    },
    words: {
      direct: {
        blocked:
          "It is an ordinary 500, but the page only sees that the request failed: the CORS error hides the actual one.",
      },
      proxied: {
        works: "Error responses have the same CORS headers as others, so the page can read the status and the text.",
      },
    },
    console: NO_HEADER,
  },
  {
    id: "header",
    title: "Read a response header",
    request: "GET /catalogue, header X-Total-Count",
    intent: "Here “*” is enough to read the response, but not its headers.",
    async run(base, print) {
      const response = await fetch(`${base}/catalogue`);
      const total = response.headers.get("X-Total-Count");
      print(`X-Total-Count: ${total === null ? "(hidden)" : total}`);
      return total === null ? "hidden" : "works";
    },
    words: {
      direct: {
        hidden: "Most headers are hidden from other origins unless the server exposes them.",
      },
      proxied: {
        works: "The policy lists this header in expose_headers, so the page can read it.",
        hidden: "The page can read the response, but expose_headers does not list this header.",
      },
    },
    console: "",
  },
  {
    id: "stream",
    title: "Follow a delivery live",
    request: "GET /events (server-sent events)",
    intent: "A response that arrives in pieces. The times show that corsproxy does not delay them.",
    run(base, print) {
      const started = performance.now();
      return new Promise((resolve, reject) => {
        const source = new EventSource(`${base}/events`);
        source.onmessage = (event) => {
          const seconds = ((performance.now() - started) / 1000).toFixed(1);
          print(`+${seconds} s  ${event.data}`);
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
        blocked: "An event stream from another origin needs the same header, and it is missing.",
      },
      proxied: {
        works: "corsproxy forwards every event as soon as it arrives, without waiting for the end of the stream.",
      },
    },
    console: NO_HEADER,
  },
  {
    id: "refused",
    title: "Delete an order: refused on purpose",
    request: "DELETE /orders/8 with cookies",
    intent: "The policy of this demo does not list DELETE. A proxy that allows everything would not protect the API.",
    refusedOnPurpose: true,
    async run(base, print) {
      const response = await fetch(`${base}/orders/8`, { method: "DELETE", credentials: "include" });
      await printResponse(response, print);
      return "works";
    },
    words: {
      direct: {
        blocked: "Blocked because the API does not support preflights, not because of a decision.",
      },
      proxied: {
        refused:
          "allow_methods lists only GET and PUT. corsproxy refuses the preflight, and the API receives nothing. To allow the request, add DELETE there.",
      },
    },
    console: PREFLIGHT_NO_HEADER,
    preflighted: true,
  },
];
