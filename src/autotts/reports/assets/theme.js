// Light, dark, or as the system has it; `changed` draws again what has its colours from a canvas.
function drawTheme(changed) {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const set = (theme) => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    button.textContent = { auto: "◐ auto", light: "☀ light", dark: "☾ dark" }[theme];
    button.setAttribute("aria-label", `colours: ${theme}; change`);
  };
  const order = ["auto", "light", "dark"];
  let theme = "auto";
  set(theme);
  button.addEventListener("click", () => { theme = order[(order.indexOf(theme) + 1) % 3]; set(theme); changed(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}
