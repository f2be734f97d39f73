// The one question at a time that stands before an action: what will happen, by which call, and may it.
import type {Call} from "../api/client";
import type {Problem} from "../api/types";
import {daemon} from "./daemon.svelte";

export interface Question {
  title: string;
  /// What will happen, a sentence each; bytes that are lost are named.
  lines: string[];
  call: Call;
  verb: string;
  loses: boolean;
  /// The entity tag of what was looked at: the daemon refuses if it changed since.
  ifMatch?: string | undefined;
  /// What to say when it is done.
  done: (value: never) => string;
}

class Asking {
  question = $state.raw<Question | null>(null);
  busy = $state(false);
  problem = $state.raw<Problem | null>(null);
  /// What was done last, for everybody to see and for screen readers to say.
  told = $state("");

  ask<T>(question: Omit<Question, "done"> & {done: (value: T) => string}): void {
    this.problem = null;
    this.busy = false;
    this.question = question as Question;
  }

  close(): void {
    this.question = null;
  }

  async run(): Promise<void> {
    const question = this.question;
    if (!question || this.busy) return;
    this.busy = true;
    this.problem = null;
    const outcome = await daemon.act<never>(question.call, question.ifMatch);
    this.busy = false;
    if (!outcome.ok) {
      this.problem = outcome.problem;
      return;
    }
    this.told = question.done(outcome.value);
    if (this.question === question) this.question = null;
  }
}

export const asking = new Asking();
