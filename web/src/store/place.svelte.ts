// Where in the page one is: the view and its choices are in the address, so that a link shows the same again.
export const views = ["overview", "map", "models", "transfers", "events", "limits", "advice", "defragment"] as const;
export type View = (typeof views)[number];

class Place {
  view = $state<View>("overview");
  choices = $state.raw<URLSearchParams>(new URLSearchParams());

  constructor() {
    this.read();
    window.addEventListener("hashchange", () => this.read());
  }

  /// Changes one choice of the present view without a step in the browser's history.
  choose(name: string, value: string): void {
    const next = new URLSearchParams(this.choices);
    if (value) next.set(name, value);
    else next.delete(name);
    history.replaceState(null, "", href(this.view, next));
    this.choices = next;
  }

  private read(): void {
    const [name, query] = location.hash.replace(/^#\/?/, "").split("?");
    this.view = views.find((each) => each === name) ?? "overview";
    this.choices = new URLSearchParams(query ?? "");
  }
}

export function href(view: View, choices: URLSearchParams | Record<string, string> = {}): string {
  const query = new URLSearchParams(choices).toString();
  return `#/${view}${query ? `?${query}` : ""}`;
}

export const place = new Place();
