// Live pages: listens for changes of holds, asks for fresh parts through htmx, counts down.
// Everything here is comfort: each page works without it.
"use strict";

(() => {
  const changed = () => {
    if (window.htmx) window.htmx.trigger(document.body, "holds-changed");
  };

  const listen = (address) => {
    const state = document.getElementById("link-state");
    const source = new EventSource(address);
    const say = (text, name) => {
      state.textContent = text;
      state.dataset.state = name;
    };
    source.addEventListener("open", () => say("live", "live"));
    source.addEventListener("hold", changed);
    source.addEventListener("reload", changed);
    source.addEventListener("error", () => {
      const over = source.readyState === EventSource.CLOSED;
      say(over ? "not live, reload the page" : "connecting again", "lost");
    });
    window.addEventListener("pagehide", () => source.close());
  };

  const left = (milliseconds) => {
    const seconds = Math.floor(milliseconds / 1000);
    if (seconds <= 0) return "time is up";
    if (seconds < 60) return `${seconds} s left`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 120) return `${minutes} min left`;
    return `${Math.floor(minutes / 60)} h left`;
  };

  // The absolute time stays; what is left is put behind it.
  const countDown = () => {
    for (const time of document.querySelectorAll("time[data-until]")) {
      let rest = time.nextElementSibling;
      if (!rest || !rest.classList.contains("left")) {
        rest = document.createElement("span");
        rest.className = "left";
        rest.setAttribute("aria-live", "off");
        time.after(rest);
      }
      const milliseconds = Date.parse(time.dateTime) - Date.now();
      const text = left(milliseconds);
      if (rest.textContent !== text) {
        rest.textContent = text;
        if (milliseconds <= 0) setTimeout(changed, 1000);
      }
      rest.classList.toggle("soon", milliseconds < 5 * 60 * 1000);
    }
  };

  // How many wait, in the title, for those who keep the page in a tab.
  const bareTitle = document.title;
  const countInTitle = () => {
    const count = document.querySelector("[data-waiting]");
    const waiting = count ? Number(count.dataset.waiting) : 0;
    document.title = waiting ? `(${waiting}) ${bareTitle}` : bareTitle;
  };

  const refresh = () => {
    countDown();
    countInTitle();
  };

  document.body.addEventListener("htmx:afterSettle", refresh);
  // One answer per press: a second click must not look like a second answer.
  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });
  refresh();
  setInterval(countDown, 1000);
  const live = document.querySelector("[hx-trigger]");
  if (live && document.body.dataset.live) listen(document.body.dataset.live);
})();
