// Server-sent events of the studies' progress; the browser connects again by itself.

export function listen(study, handlers) {
  const source = new EventSource(`/api/v1/events${study ? `?study=${encodeURIComponent(study)}` : ""}`);
  for (const [kind, handle] of Object.entries(handlers)) {
    source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
  }
  // A browser that keeps the page for "back" must not keep the connection.
  window.addEventListener("pagehide", () => source.close());
  window.addEventListener("pageshow", (event) => { if (event.persisted) window.location.reload(); });
}
