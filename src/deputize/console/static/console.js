// Keys, and saying so where there is no connection. Everything works without this file.
(() => {
  "use strict";

  const typing = (element) => element.closest("input, textarea, select, [contenteditable]") !== null;

  // j and k go through a list, or to the card before and after; other keys press what names them.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
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

  const lost = (is) => {
    const note = document.getElementById("lost");
    if (note) note.hidden = !is;
  };
  addEventListener("offline", () => lost(true));
  addEventListener("online", () => lost(false));
  document.addEventListener("htmx:error", () => lost(true));
  document.addEventListener("htmx:sse:error", () => lost(true));
  document.addEventListener("htmx:sse:after:connection", () => lost(false));

  // A browser may bring a page back as it was left, and not as things stand.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });

  // What was put in place of the page is read from its beginning.
  document.addEventListener("htmx:after:swap", (event) => {
    if (event.target?.id === "main" || event.detail?.ctx?.target === "#main") document.getElementById("main")?.focus();
  });
})();
