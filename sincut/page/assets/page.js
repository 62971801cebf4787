// What Gradio's components leave out: names and keys for those who use no mouse, the page's title, word of the end.
(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];

  // The handle between two pictures.
  document.addEventListener("input", (event) => {
    const figure = event.target.type === "range" && event.target.closest?.(".before-after");
    if (figure) figure.style.setProperty("--split", `${event.target.value}%`);
  });

  // Names that say which field it is, and radios that arrow keys move through, as all of a group have one name.
  const named = () => {
    for (const block of all(".block:has(button.center input[type=file], button[aria-label] input[type=file])")) {
      const label = block.querySelector("label")?.textContent.trim();
      const button = block.querySelector("button:has(> input[type=file])");
      if (label && button) button.setAttribute("aria-label", `${label}: ${button.textContent.trim().replace(/\s+/g, " ") || "add"}`);
    }
    all("fieldset").forEach((group, number) => {
      for (const radio of group.querySelectorAll("input[type=radio]")) radio.name = group.id || `radios-${number}`;
    });
    for (const outer of all("button:has(button)")) { // a control in a control is none that a screen reader can reach
      outer.setAttribute("role", "group");
      outer.tabIndex = -1;
    }
    for (const button of all("button.thumbnail-item:has(.caption-label)"))
      button.setAttribute("aria-label", button.querySelector(".caption-label").textContent.trim());
    for (const box of all("div[aria-label]:not([role])")) box.setAttribute("role", "group");
    for (const button of all("button:not([aria-label])")) {
      if (button.textContent.trim() || button.title) continue;
      const picture = button.querySelector("img[alt]");
      const label = button.closest(".block")?.querySelector("label")?.textContent.trim();
      button.setAttribute("aria-label", picture?.alt || label || "Open");
    }
  };

  // The title follows the training, and the end of one that was watched is told.
  let seen = {};
  const told = () => {
    const status = document.querySelector("#status [data-title]");
    if (!status) return;
    const now = { run: status.dataset.run, on: "goingOn" in status.dataset, title: status.dataset.title };
    document.title = now.on || document.hidden ? now.title : "sincut";
    if (seen.on && !now.on && seen.run === now.run) {
      document.title = now.title;
      tell(`${now.run}: ${now.title.replace(" – sincut", "")}`);
    }
    seen = now;
  };
  const tell = (words) => {
    if (document.hidden && "Notification" in window && Notification.permission === "granted")
      new Notification("sincut", { body: words });
  };
  document.addEventListener("click", (event) => {
    const asks = event.target.closest?.("#start, #style") && "Notification" in window;
    if (asks && Notification.permission === "default") Notification.requestPermission();
  });

  let waiting = false;
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      named();
      told();
    }, 150);
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
