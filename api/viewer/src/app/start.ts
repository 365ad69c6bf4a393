// The page: who is here, what is shown at which address, and the frame around it.

import type { LoadViewer } from "../view/types";
import { Api, type Problem, address, onTrouble } from "./api";
import { fill, h, icon, iconButton } from "./dom";
import { captureView } from "./capture";
import { jobView } from "./job";
import { jobsView } from "./jobs";
import { keyOfAddress, forgetKey, storeKey, storedKey } from "./session";
import { sharedView } from "./shared";
import { signInView } from "./signin";
import { applyTheme, nextTheme } from "./theme";
import { toast, toasts } from "./toast";
import { onUploads, uploads } from "./upload";
import { percent } from "./format";

/** One page: its element, and how it ends. */
export interface View {
  element: HTMLElement;
  title: string;
  end?: () => void;
}

export interface Context {
  api: Api;
  loadViewer: LoadViewer;
  /** Tells the browser's tab what is looked at. */
  rename(title: string): void;
}

/** Fills the page; the viewer is loaded when a job is opened. */
export function start(root: HTMLElement, loadViewer: LoadViewer): void {
  applyTheme();
  const linked = keyOfAddress();
  if (linked) storeKey(linked, false);
  const main = h("main", { id: "main", tabindex: -1 });
  const trouble = h("div", { class: "trouble", role: "alert" });
  const bar = h("header", { class: "top" });
  onTrouble((now) => {
    trouble.className = now ? `trouble ${now.kind}` : "trouble";
    fill(trouble, now && icon("warning"), now && h("span", { text: now.text }));
  });
  fill(root, h("a", { class: "skip", href: "#main", text: "Skip to content", onclick: (event) => skip(event, main) }), bar, trouble, main, toasts());
  const frame = new Frame(bar, main, loadViewer);
  addEventListener("hashchange", () => frame.show());
  onUploads(() => frame.showUploads());
  frame.show();
}

function skip(event: Event, main: HTMLElement): void {
  event.preventDefault();
  main.focus();
}

class Frame {
  private current: View | null = null;
  private shown = "";
  private readonly pills = h("div", { class: "pills" });

  constructor(
    private readonly bar: HTMLElement,
    private readonly main: HTMLElement,
    private readonly loadViewer: LoadViewer,
  ) {}

  show(): void {
    const key = keyOfAddress();
    if (key) storeKey(key, false);
    const route = location.hash.replace(/^#/, "") || "/";
    if (route === this.shown && !key) return;
    const isFirst = this.shown === "";
    this.shown = route;
    this.current?.end?.();
    this.main.replaceChildren();
    this.current = this.viewOf(route);
    fill(this.main, this.current.element);
    this.rename(this.current.title);
    scrollTo(0, 0);
    if (!isFirst) (this.main.querySelector("h1") ?? this.main).focus({ preventScroll: true });
  }

  private viewOf(route: string): View {
    const shared = /^\/shared\/([!-~]+)$/.exec(route)?.[1];
    if (shared) {
      this.showBar(false);
      return sharedView({ api: new Api(shared), loadViewer: this.loadViewer, rename: (title) => this.rename(title) });
    }
    const key = storedKey();
    if (!key) {
      this.showBar(false);
      return signInView((given, keep) => this.signIn(given, keep));
    }
    this.showBar(true);
    const api = new Api(key);
    api.onRefused = (problem) => this.refused(problem);
    const context: Context = { api, loadViewer: this.loadViewer, rename: (title) => this.rename(title) };
    const [, kind, id] = route.split("/");
    if (kind === "jobs" && id) return jobView(context, decodeURIComponent(id));
    if (kind === "captures" && id) return captureView(context, decodeURIComponent(id));
    return jobsView(context);
  }

  private signIn(key: string, keep: boolean): void {
    storeKey(key, keep);
    this.shown = "";
    this.show();
  }

  private signOut(text = ""): void {
    forgetKey();
    for (const upload of uploads.values()) upload.stop();
    uploads.clear();
    this.shown = "";
    this.show();
    if (text) toast(text, "error");
  }

  private refused(problem: Problem): void {
    if (storedKey()) this.signOut(`You were signed out: ${problem.message}`);
  }

  private rename(title: string): void {
    document.title = title ? `${title} · recon` : "recon";
  }

  private showBar(isSignedIn: boolean): void {
    const theme = iconButton("Light, dark or automatic", "theme", () => toast(`Colours: ${nextTheme()}`));
    const home = h("a", { class: "brand", href: address("").concat("#/"), "aria-label": "recon: all jobs" }, icon("cube"), h("span", { text: "recon" }));
    const out = isSignedIn && iconButton("Sign out", "leave", () => this.signOut());
    fill(this.bar, isSignedIn ? home : h("span", { class: "brand" }, icon("cube"), h("span", { text: "recon" })), this.pills, h("nav", { class: "row", "aria-label": "Page" }, theme, out));
    this.showUploads();
  }

  /** Uploads that go on while something else is looked at. */
  showUploads(): void {
    const live = [...uploads.values()].filter((upload) => upload.isLive && !this.shown.includes(upload.captureId));
    fill(
      this.pills,
      ...live.map(({ captureId, progress }) =>
        h("a", { class: "pill", href: `#/captures/${captureId}` }, icon("upload"), `Uploading ${percent(progress.total ? progress.sent / progress.total : 0)}`),
      ),
    );
  }
}
