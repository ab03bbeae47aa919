// Server-sent events of the studies' progress. Browsers allow six connections to a host for all tabs together, so a page
// that is not looked at has none: the stream begins with everything there is whenever it is opened.

import { byId } from "./dom.js";

export function listen(study, handlers) {
  let source = null;

  function open() {
    source = new EventSource(`/api/v1/events${study ? `?study=${encodeURIComponent(study)}` : ""}`);
    for (const [kind, handle] of Object.entries(handlers)) {
      source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
    }
    source.addEventListener("open", () => showConnection(true));
    // It connects again by itself, unless it was refused: a service that was started again has another token.
    source.addEventListener("error", () => showConnection(false, source.readyState === EventSource.CLOSED));
  }

  function close() {
    source?.close();
    source = null;
  }

  document.addEventListener("visibilitychange", () => {
    close();
    if (!document.hidden) open();
  });
  // A browser that keeps the page for "back" must not keep the connection.
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => { if (event.persisted) window.location.reload(); });
  if (!document.hidden) open();
}

function showConnection(there, refused = false) {
  const place = byId("connection");
  if (there) place.hidden = true;
  if (there || !place.hidden) return;
  place.hidden = false;
  const since = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  place.textContent = refused
    ? `The service does not let this page in any more: what you see is of ${since}. Reload the page to sign in.`
    : `The service does not answer: what you see is of ${since}. The page goes on when it is back.`;
}
