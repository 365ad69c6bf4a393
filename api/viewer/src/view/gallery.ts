// All photos in a row: thumbnails that are fetched when they come into sight.
import { el } from "./dom";
import type { Photo, Photos } from "./photos";

export class Gallery {
  readonly element = el("div", { class: "v-gallery", role: "group", "aria-label": "Photos", hidden: true });
  onChoose: (photo: Photo) => void = () => undefined;
  readonly #watch: IntersectionObserver;
  readonly #buttons = new Map<Photo, HTMLButtonElement>();

  constructor(photos: Photos) {
    const pictures = new Map<Element, Photo>();
    this.#watch = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          const photo = pictures.get(entry.target);
          if (!entry.isIntersecting || !photo) continue;
          this.#watch.unobserve(entry.target);
          photos.picture(photo).then(
            (url) => ((entry.target.firstElementChild as HTMLImageElement).src = url),
            () => undefined, // its name stays
          );
        }
      },
      { root: this.element, rootMargin: "0px 200px" },
    );
    for (const photo of photos.all) {
      const button = el(
        "button",
        { type: "button", class: "v-photo", title: photo.name, "aria-label": `Look through ${photo.name}`, click: () => this.onChoose(photo) },
        photo.bytes ? el("img", { alt: "", width: 96, height: 64 }) : null,
        el("span", {}, photo.name),
      );
      this.#buttons.set(photo, button);
      if (photo.bytes) {
        pictures.set(button, photo);
        this.#watch.observe(button);
      }
      this.element.append(button);
    }
  }

  mark(photo: Photo | null): void {
    this.#buttons.forEach((button, of) => button.setAttribute("aria-current", String(of === photo)));
    if (photo) this.#buttons.get(photo)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  dispose(): void {
    this.#watch.disconnect();
    this.element.remove();
  }
}
