// What the daemon has: ids and names that stand in a form instead of the document's examples. Asked once, and learnt from each answer.
import {get} from "../api/client";
import type {Instead} from "./request";

const most = 20;

type Kind = "allocations" | "transfers" | "operations";

interface Items {
  items?: {id?: string; deviceId?: string; path?: string}[];
  loadedModels?: {name: string}[];
}

class Known {
  lists = $state.raw<Instead>({devices: [], allocations: [], transfers: [], operations: [], models: [], files: []});
  /// The daemon was asked and has answered: forms do not change by themselves any more.
  settled = $state(false);
  private asked = false;
  /// Newest first; what an answer told while the lists were on their way is not lost by them.
  private learnt: {[kind in Kind]: string[]} = {allocations: [], transfers: [], operations: []};

  /// Asks the daemon for what it has, once; `again`: as whoever one is now.
  async look(again = false): Promise<void> {
    if (this.asked && !again) return;
    this.asked = true;
    const of = async (path: string) => {
      const outcome = await get<Items>(path);
      return outcome.ok ? outcome.value : {};
    };
    const [devices, allocations, transfers, operations, models, files] = await Promise.all([
      of("/api/devices"), of(`/api/memory/allocations?limit=${most}`), of(`/api/memory/transfers?limit=${most}`), of(`/api/operations?limit=${most}`), of("/api/model/status"),
      of(`/api/model/available?limit=${most}`)]);
    const texts = (all: (string | undefined)[] | undefined) => (all ?? []).filter((each) => each !== undefined);
    const ids = (kind: Kind, list: Items) => [...new Set([...this.learnt[kind], ...texts(list.items?.map((each) => each.id))])].slice(0, most);
    this.lists = {
      devices: texts(devices.items?.map((each) => each.deviceId)), allocations: ids("allocations", allocations), transfers: ids("transfers", transfers),
      operations: ids("operations", operations), models: texts(models.loadedModels?.map((each) => each.name)), files: texts(files.items?.map((each) => each.path)),
    };
    this.settled = true;
  }

  /// Takes over the id of what an answer tells, so that the next call can be made with it; forgets the one that a call gave up.
  learn(method: string, path: string, text: string): void {
    const last = decodeURIComponent((path.split("?")[0] ?? "").split("/").pop() ?? "");
    if (method === "DELETE" && path.startsWith("/api/memory/allocations/")) {
      this.learnt.allocations = this.learnt.allocations.filter((each) => each !== last);
      this.lists = {...this.lists, allocations: this.lists.allocations.filter((each) => each !== last)};
    } else if (method === "POST") this.take(text);
  }

  private take(text: string): void {
    const id = /"id":"((?:alc|xfr|op)_[a-z0-9]+)"/.exec(text)?.[1] ?? "";
    const kinds: Record<string, Kind> = {alc: "allocations", xfr: "transfers", op: "operations"};
    const kind = kinds[id.split("_")[0] ?? ""];
    if (kind) {
      const first = (all: string[]) => [id, ...all.filter((each) => each !== id)].slice(0, most);
      this.learnt[kind] = first(this.learnt[kind]);
      this.lists = {...this.lists, [kind]: first(this.lists[kind])};
    }
    const model = /^\{"id":"mdl_[a-z0-9]+","name":("(?:[^"\\]|\\.)*")/.exec(text)?.[1];
    if (model) this.lists = {...this.lists, models: [...new Set([JSON.parse(model) as string, ...this.lists.models])]};
  }
}

export const known = new Known();
