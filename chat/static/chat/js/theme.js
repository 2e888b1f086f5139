// Runs before the page is painted: the theme that the reader chose, else the system's.
"use strict";

(() => {
  const KEY = "tasuki.theme";
  const root = document.documentElement;

  const stored = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // Storage may be forbidden.
    }
  };

  const apply = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  };

  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  const toggle = () => {
    apply(isDark() ? "light" : "dark");
    try {
      localStorage.setItem(KEY, root.dataset.theme);
    } catch {
      // It holds for this page alone then.
    }
  };

  apply(stored());
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme")?.addEventListener("click", toggle);
  });
})();
