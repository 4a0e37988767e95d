// One poison over its base with a slider between them, and arrow keys that walk the poisons.
"use strict";
(() => {
  let shown = 50; // per cent of the width that is still the base; kept from poison to poison

  const place = (slider, input) => {
    shown = Number(input.value);
    slider.querySelector(".over img").style.clipPath = `inset(0 0 0 ${shown}%)`;
    input.setAttribute("aria-valuetext", `${shown} % base, ${100 - shown} % poison`);
  };

  const dress = () => {
    for (const slider of document.querySelectorAll("[data-slider]")) {
      const input = slider.querySelector("input[type=range]");
      if (!input || slider.classList.contains("is-on")) continue;
      slider.classList.add("is-on");
      input.hidden = false;
      input.value = shown;
      place(slider, input);
    }
  };
  document.addEventListener("input", (event) => {
    const slider = event.target.closest?.("[data-slider]");
    if (slider) place(slider, event.target);
  });

  // A key that comes while the next poison is still on its way waits for it: the link that is there
  // until then leads to the same poison once more.
  let isOnItsWay = false;
  let waiting = 0; // steps
  const go = (step) => {
    const link = document.querySelector(`#closely a[rel=${step < 0 ? "prev" : "next"}]`);
    if (link) link.click();
    else waiting = 0;
  };
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.target?.id === "closely") isOnItsWay = true;
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (!event.detail.successful) {
      isOnItsWay = false;
      waiting = 0;
    }
  });

  // before the page's own arrow keys, which walk from trial to trial
  const walk = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const area = event.target.closest?.("[data-walk]");
    if (!step || !area || event.target.tagName === "INPUT") return;
    event.preventDefault();
    event.stopPropagation();
    if (area.id === "closely") {
      if (isOnItsWay) waiting += step;
      else go(step);
      return;
    }
    const links = [...area.querySelectorAll("a")];
    links[links.indexOf(event.target.closest("a")) + step]?.focus();
  };
  document.addEventListener("keydown", walk, true);

  document.addEventListener("DOMContentLoaded", dress);
  // a link that is gone with the old poison leaves the focus to the new one, in the step that puts
  // it in place: later, the reader may have gone elsewhere
  let hadFocus = false;
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.target.id === "closely") hadFocus = event.target.contains(document.activeElement);
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id !== "closely" || !hadFocus) return;
    if (document.activeElement === document.body) event.target.focus({ preventScroll: true });
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    dress();
    if (event.target.id !== "closely") return;
    isOnItsWay = false;
    if (waiting) {
      const step = Math.sign(waiting);
      waiting -= step;
      go(step);
    }
  });
})();
