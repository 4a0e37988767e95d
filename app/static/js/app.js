// Small comforts on pages that work without them: local times, arrow keys, copying.
"use strict";
(() => {
  const localise = (root) => {
    for (const time of root.querySelectorAll("time[data-local]")) {
      const at = new Date(time.dateTime);
      const today = at.toDateString() === new Date().toDateString();
      time.title = at.toISOString();
      time.textContent = today
        ? at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })
        : at.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    }
  };

  const offerCopies = (root) => {
    for (const block of root.querySelectorAll("pre[data-copy]:not([data-offered])")) {
      block.dataset.offered = "";
      const button = document.createElement("button");
      button.type = "button";
      button.className = "btn btn-line btn-sm mb-1";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(block.textContent);
        button.textContent = "Copied";
      });
      block.before(button);
    }
  };

  const isTyping = (element) => /^(INPUT|SELECT|TEXTAREA)$/.test(element.tagName);

  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || isTyping(event.target)) return;
    const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
    const link = rel && document.querySelector(`head link[rel=${rel}]`);
    if (link) location.assign(link.href);
  });

  document.addEventListener("DOMContentLoaded", () => {
    localise(document);
    offerCopies(document);
  });
  document.addEventListener("htmx:afterSettle", () => {
    localise(document);
    offerCopies(document);
  });

  // the server says that something changed; the page fetches what did. A page nobody looks at
  // gives its connection back: browsers have few for one server. It is told anew how things are
  // when it is looked at again.
  const follow = (block) => {
    let source = null;
    const refresh = () => htmx.trigger(`#${block.id}`, "changed");
    const leave = () => {
      source?.close();
      source = null;
    };
    const listen = () => {
      if (source || document.hidden || !document.querySelector("[data-live]")) return;
      source = new EventSource(block.dataset.live);
      source.addEventListener("changed", refresh);
      source.addEventListener("ended", () => {
        leave();
        refresh();
      });
    };
    document.addEventListener("visibilitychange", () => (document.hidden ? leave() : listen()));
    addEventListener("pagehide", leave);
    addEventListener("pageshow", listen);
    listen();
  };
  document.addEventListener("DOMContentLoaded", () => {
    for (const block of document.querySelectorAll("[data-live]")) follow(block);
  });

  // a preset fills the form at once; without JavaScript its button does
  document.addEventListener("change", (event) => {
    if (event.target.id === "preset") event.target.form.requestSubmit();
  });
})();
