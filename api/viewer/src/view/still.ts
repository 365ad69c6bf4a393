// Where the browser can't draw in 3D: the picture that the job made.
import { el } from "./dom";
import { Files } from "./files";
import type { JobSource, Viewer } from "./types";

const PICTURE = "preview.png";

export function mountStill(root: HTMLElement, job: JobSource): Viewer {
  const files = new Files(job);
  const picture = el("img", { class: "v-still", alt: "The model, from the side of the cameras", hidden: true });
  const text = el("p", {}, "This browser cannot show the model in 3D (it has no WebGL 2). The files can be downloaded all the same.");
  root.classList.add("viewer");
  root.dataset.state = "still";
  root.replaceChildren(picture, el("div", { class: "v-message", role: "status" }, text));
  const show = async (): Promise<void> => {
    if (!files.has(PICTURE)) return;
    picture.src = await files.url(PICTURE);
    picture.hidden = false;
  };
  const look = (): void => void show().catch(() => undefined);
  const stop = job.onArtifacts(look);
  look();
  return {
    project: () => null,
    dispose: () => {
      stop();
      files.dispose();
      root.replaceChildren();
      root.classList.remove("viewer");
    },
  };
}
