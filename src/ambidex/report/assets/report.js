(function () {
  var root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
  var tools = document.getElementById("tools"), theme = document.getElementById("theme");
  function isDark() { return root.dataset.theme ? root.dataset.theme === "dark" : dark.matches; }
  function tell() { theme.setAttribute("aria-pressed", String(isDark())); }
  theme.addEventListener("click", function () { root.dataset.theme = isDark() ? "light" : "dark"; tell(); });
  document.getElementById("print").addEventListener("click", function () { print(); });
  dark.addEventListener("change", tell);
  tools.hidden = false;
  tell();
})();
