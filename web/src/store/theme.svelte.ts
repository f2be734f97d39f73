// Light, dark, or as the system says. The choice is kept in this browser.
export type Theme = "system" | "light" | "dark";

const key = "vramd.theme";

class Chosen {
  theme = $state<Theme>("system");
  /// Counts choices, so that a canvas, which takes its colours from the page once, draws again.
  revision = $state(0);
}

export const chosen = new Chosen();

export function applyTheme(theme?: Theme): void {
  const kept = theme ?? ((localStorage.getItem(key) as Theme | null) ?? "system");
  chosen.theme = kept;
  chosen.revision += 1;
  if (kept === "system") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = kept;
  if (theme) localStorage.setItem(key, theme);
}
