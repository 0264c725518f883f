// Keys, and saying so where there is no connection. Everything works without this file.
(() => {
  "use strict";

  const typing = (element) => element.closest("input, textarea, select, [contenteditable]") !== null;

  // Whoever speaks to the machine, or types beside it, turns the keys off.
  const off = () => localStorage.getItem("keys") === "off";
  const say = (button) => (button.textContent = off() ? "Turn the keys on" : "Turn the keys off");
  for (const button of document.querySelectorAll("[data-keys]")) {
    button.hidden = false;
    say(button);
    button.addEventListener("click", () => {
      localStorage.setItem("keys", off() ? "on" : "off");
      say(button);
    });
  }

  // j and k go through a list, or to the card before and after; other keys press what names them.
  document.addEventListener("keydown", (event) => {
    // A key that is held down answers one card, and not those that come after it.
    if (event.repeat || off() || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const list = document.querySelector("[data-list]");
    if (list && (event.key === "j" || event.key === "k")) {
      const links = [...list.querySelectorAll("a")];
      const at = links.indexOf(document.activeElement);
      const next = event.key === "j" ? Math.min(at + 1, links.length - 1) : Math.max(at - 1, 0);
      links[next]?.focus();
      event.preventDefault();
      return;
    }
    const named = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === event.key);
    if (!named) return;
    event.preventDefault();
    if (named.tagName === "DETAILS") {
      named.open = true;
      named.querySelector("textarea, input:not([type=hidden]), button")?.focus();
    } else {
      named.click();
    }
  });

  // What takes a while says so, and is not asked for twice.
  document.addEventListener("submit", (event) => {
    const says = event.target.dataset?.busy;
    const button = says && event.target.querySelector("button");
    if (button) setTimeout(() => Object.assign(button, { disabled: true, textContent: says }));
  });

  const note = (id, is) => {
    const found = document.getElementById(id);
    if (found) found.hidden = !is;
  };
  const lost = (is) => note("lost", is);
  addEventListener("offline", () => lost(true));
  addEventListener("online", () => lost(false));
  document.addEventListener("htmx:error", () => lost(true));
  document.addEventListener("htmx:sse:error", () => lost(true));
  document.addEventListener("htmx:sse:after:connection", () => lost(false));

  // What is no page takes the place of none: what was written stays, to be sent again.
  document.addEventListener("htmx:before:swap", (event) => {
    const answer = event.detail?.ctx?.response?.raw;
    const kind = answer?.headers.get("content-type") ?? "text/html";
    const page = kind.startsWith("text/html") || kind.startsWith("text/event-stream");
    note("out", answer?.status === 401);
    lost(!page && answer.status !== 401);
    if (!page) event.preventDefault();
  });

  // A browser may bring a page back as it was left, and not as things stand.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });

  // What was put in place of the page is read from its beginning.
  document.addEventListener("htmx:after:swap", (event) => {
    if (event.target?.id === "main" || event.detail?.ctx?.target === "#main") document.getElementById("main")?.focus();
  });
})();
