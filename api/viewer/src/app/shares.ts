// Links to one job for people without a key: made, listed, revoked.

import { type Api, address, wordsOf } from "./api";
import { ask } from "./dialog";
import { button, fill, h } from "./dom";
import { date, when } from "./format";
import { toast } from "./toast";
import type { MadeShare, Share } from "./types";

const DAY_S = 24 * 3600;
const SPANS: [string, number][] = [["1 day", DAY_S], ["7 days", 7 * DAY_S], ["30 days", 30 * DAY_S], ["1 year", 365 * DAY_S]];

export function sharesPanel(api: Api, jobId: string): HTMLElement {
  const name = h("input", { id: "share-name", type: "text", maxlength: 200, placeholder: "For whom?" });
  const span = h("select", { id: "share-span" }, ...SPANS.map(([words, seconds], at) => h("option", { value: seconds, text: words, selected: at === 1 })));
  const made = h("div", { role: "status" });
  const list = h("div", { class: "stack" });
  const show = async (): Promise<void> => {
    try {
      const { items } = await api.get<{ items: Share[] }>(`v1/jobs/${jobId}/shares`);
      fill(list, items.length > 0 && h("ul", { class: "lines", "aria-label": "Links" }, ...items.map((share) => line(api, jobId, share, show))));
    } catch (error) {
      fill(list, h("p", { class: "error", text: wordsOf(error) }));
    }
  };
  const make = async (event: Event): Promise<void> => {
    event.preventDefault();
    try {
      const share = await api.post<MadeShare>(`v1/jobs/${jobId}/shares`, { name: name.value.trim() || "Link", holds_s: Number(span.value) });
      name.value = "";
      fill(made, link(address(`#/shared/${share.token}`)));
      await show();
    } catch (error) {
      fill(made, h("p", { class: "error", text: wordsOf(error) }));
    }
  };
  void show();
  return h(
    "section",
    { class: "card" },
    h("h2", { text: "Share this model" }),
    h("p", { class: "muted", text: "Whoever has the link may look at the model, its report, files and measurements, and at nothing else, until it expires or you revoke it." }),
    h("form", { class: "row form-row", onsubmit: (event) => void make(event) }, h("div", { class: "option grow" }, h("label", { for: "share-name", text: "Name of the link" }), name), h("div", { class: "option" }, h("label", { for: "share-span", text: "Holds for" }), span), h("button", { type: "submit", class: "button primary", text: "Make a link" })),
    made,
    list,
  );
}

function link(url: string): HTMLElement {
  const field = h("input", { type: "text", readonly: true, value: url, "aria-label": "The link", class: "grow", onfocus: () => field.select() });
  const copy = async (): Promise<void> => {
    field.select();
    try {
      await navigator.clipboard.writeText(url);
      toast("The link is copied.");
    } catch {
      toast("Copy it from the field: the browser does not let the page do so.");
    }
  };
  return h("div", { class: "made" }, h("div", { class: "row" }, field, button("Copy", () => void copy(), { icon: "copy" })), h("p", { class: "hint", text: "The link is shown this once." }));
}

function line(api: Api, jobId: string, share: Share, changed: () => Promise<void>): HTMLElement {
  const isOver = share.expires_s < Date.now() / 1000;
  const state = share.revoked_s ? "Revoked" : isOver ? "Expired" : `Until ${date(share.expires_s)}`;
  const used = share.used_s ? `opened ${when(share.used_s)}` : "not opened yet";
  const revoke = async (): Promise<void> => {
    if (!(await ask("Revoke this link?", `“${share.name}” opens nothing any more. This can't be undone.`, "Revoke", true))) return;
    try {
      await api.ask("DELETE", `v1/jobs/${jobId}/shares/${share.id}`);
      toast("The link is revoked.");
    } catch (error) {
      toast(wordsOf(error), "error");
    }
    await changed();
  };
  return h("li", { class: "line" }, h("span", { class: "line-name", text: share.name }), h("span", { class: "muted", text: `${state} · ${used}` }), !share.revoked_s && !isOver && button("Revoke", () => void revoke()));
}
