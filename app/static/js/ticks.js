// Ticking many rows at once, and keeping the ticks while the list renews itself.
"use strict";
(() => {
  const boxes = () => [...document.querySelectorAll("#rows tbody input[name=ids]")];

  const offerAll = () => {
    const head = document.querySelector("#rows thead .tick");
    if (!head || head.querySelector("input")) return;
    const all = document.createElement("input");
    all.type = "checkbox";
    all.className = "form-check-input";
    all.setAttribute("aria-label", "Tick all rows of this page");
    all.addEventListener("change", () => {
      for (const box of boxes()) box.checked = all.checked;
    });
    head.append(all);
  };

  // a list that somebody works with does not renew itself under their hands
  document.addEventListener("htmx:beforeRequest", (event) => {
    const list = event.target.closest?.("[data-keep-ticks]");
    const typing = list?.contains(document.activeElement);
    if (list && (typing || boxes().some((box) => box.checked))) event.preventDefault();
  });
  document.addEventListener("DOMContentLoaded", offerAll);
  document.addEventListener("htmx:afterSettle", offerAll);
})();
