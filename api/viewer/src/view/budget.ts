// How many points a frame may have, learned from how long frames take.

const LEAST = 30_000;
const FEW = 100_000;
const AT_REST = 600_000;
const AIM_MS = 50;
const COARSE = [1, 0.75, 0.5] as const;
const REST_MS = 400;

/** While the view moves the budget holds the frame rate; at rest a frame may take longer and show more. */
export class Budget {
  most: number;
  #moving: number;
  #coarse = 0;
  #frameMs = 0;
  #last = 0;

  constructor(most: number, first: number) {
    this.most = most;
    this.#moving = Math.min(first, most);
  }

  get moving(): number {
    return Math.min(this.#moving, this.most);
  }

  /** Of the screen's resolution, while the view moves: less where fewer points do not help. */
  get resolution(): number {
    return COARSE[this.#coarse] ?? 1;
  }

  get resting(): number {
    const share = this.#frameMs ? REST_MS / this.#frameMs : 4;
    return Math.min(this.most, Math.max(AT_REST, this.moving * Math.max(1, share)));
  }

  /** Between frames of a view that moves; 0 until it has moved. */
  get frameMs(): number {
    return this.#frameMs;
  }

  /** Called on each frame; `points` were drawn in the one before. */
  frame(now: number, isMoving: boolean, points: number): void {
    const ms = now - this.#last;
    const isSteady = this.#last > 0 && isMoving;
    this.#last = isMoving ? now : 0;
    if (!isSteady || ms > 2000) return;
    this.#frameMs = this.#frameMs ? this.#frameMs * 0.8 + ms * 0.2 : ms;
    if (this.#frameMs > AIM_MS * 1.3) this.#less();
    else if (this.#frameMs < AIM_MS * 0.8 && points > this.#moving * 0.9) this.#more();
  }

  #more(): void {
    this.#moving = Math.min(this.most, this.#moving * 1.08);
    if (this.#coarse && this.#moving > 3 * FEW) this.#coarse--;
  }

  #less(): void {
    if (this.#moving > FEW) this.#moving = Math.max(FEW, this.#moving * Math.max(0.7, AIM_MS / this.#frameMs));
    else if (this.#coarse < COARSE.length - 1) {
      this.#coarse++;
      this.#frameMs = 0; // to be learned anew
    } else this.#moving = Math.max(LEAST, this.#moving * 0.9);
  }
}
