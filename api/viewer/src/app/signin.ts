// Where somebody without a key comes to.

import { Api, Problem, wordsOf } from "./api";
import { fill, h } from "./dom";
import type { View } from "./start";

export function signInView(enter: (key: string, keep: boolean) => void): View {
  const field = h("input", { id: "key", type: "password", autocomplete: "current-password", spellcheck: "false", required: true, placeholder: "rk_…" });
  const keep = h("input", { id: "keep", type: "checkbox" });
  const error = h("p", { class: "error", role: "alert" });
  const go = h("button", { type: "submit", class: "button primary wide", text: "Sign in" });
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const key = field.value.trim();
    go.disabled = true;
    fill(error);
    try {
      await new Api(key).get("v1/owner");
      enter(key, keep.checked);
    } catch (problem) {
      if (problem instanceof Problem && problem.status === 403) return enter(key, keep.checked);
      error.textContent = wordsOf(problem);
      field.focus();
    } finally {
      go.disabled = false;
    }
  };
  const form = h(
    "form",
    { class: "card narrow", onsubmit: (event) => void submit(event) },
    h("h1", { text: "Sign in", tabindex: -1 }),
    h("p", { class: "muted", text: "Photos and video in, a measured 3D model out. Paste your API key to go on." }),
    h("div", { class: "option" }, h("label", { for: "key", text: "API key" }), field),
    h("div", { class: "option check" }, h("label", { for: "keep", text: "Stay signed in on this device" }), keep),
    error,
    go,
    h(
      "details",
      { class: "hint" },
      h("summary", { text: "Where do I find a key?" }),
      h("p", {}, "On the machine that serves this page, ", h("code", { text: "recon serve" }), " prints a link that signs you in, and the key lies in ", h("code", { text: "~/.recon/key" }), ". Others are made with ", h("code", { text: "recon keys create" }), "."),
    ),
  );
  return { element: h("div", { class: "centre" }, form), title: "Sign in" };
}
