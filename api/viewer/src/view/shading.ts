// Eye-dome lighting: edges of depth are darkened, so that unlit points show their relief.
// Boucheny, "Visualisation scientifique de grands volumes de données" (2009), chapter 3.
import { DepthTexture, FloatType, GLSL3, Mesh, type Object3D, type PerspectiveCamera, PlaneGeometry, ShaderMaterial, Vector2, type WebGLRenderer, WebGLRenderTarget } from "three";
import { FullScreenQuad } from "three/addons/postprocessing/Pass.js";

export class EyeDome {
  readonly #target = new WebGLRenderTarget(1, 1, { depthTexture: new DepthTexture(1, 1, FloatType) });
  readonly #material = new ShaderMaterial({
    glslVersion: GLSL3,
    vertexShader: "out vec2 vUv; void main() { vUv = uv; gl_Position = vec4(position.xy, 0.0, 1.0); }",
    fragmentShader: FRAGMENT,
    uniforms: { uColour: { value: null }, uDepth: { value: null }, uPixel: { value: new Vector2() }, uRange: { value: new Vector2() }, uReach: { value: 1 } },
    depthTest: false,
    depthWrite: false,
  });
  readonly #quad = new FullScreenQuad(this.#material);

  render(renderer: WebGLRenderer, camera: PerspectiveCamera, draw: () => void): void {
    const size = renderer.getDrawingBufferSize(new Vector2());
    if (this.#target.width !== size.x || this.#target.height !== size.y) this.#target.setSize(size.x, size.y);
    renderer.setRenderTarget(this.#target);
    draw();
    renderer.setRenderTarget(null);
    const uniforms = this.#material.uniforms;
    uniforms.uColour!.value = this.#target.texture;
    uniforms.uDepth!.value = this.#target.depthTexture;
    uniforms.uPixel!.value.set(1 / size.x, 1 / size.y);
    uniforms.uRange!.value.set(camera.near, camera.far);
    uniforms.uReach!.value = renderer.getPixelRatio();
    this.#quad.render(renderer);
  }

  /** Has its program and that of the object compiled, without waiting for it. */
  prepare(renderer: WebGLRenderer, camera: PerspectiveCamera, object: Object3D): void {
    renderer.setRenderTarget(this.#target);
    renderer.compile(object, camera);
    renderer.setRenderTarget(null);
    renderer.compile(new Mesh(new PlaneGeometry(), this.#material), camera);
  }

  dispose(): void {
    this.#target.depthTexture?.dispose();
    this.#target.dispose();
    this.#material.dispose();
    this.#quad.dispose();
  }
}

const FRAGMENT = /* glsl */ `
in vec2 vUv;
out vec4 pixel;
uniform sampler2D uColour, uDepth;
uniform vec2 uPixel, uRange;
uniform float uReach;
float logDepth(vec2 at) {
  float z = texture(uDepth, at).r;
  return z >= 1.0 ? 1e3 : log2(uRange.x * uRange.y / (uRange.y - z * (uRange.y - uRange.x)));
}
void main() {
  vec4 colour = texture(uColour, vUv);
  float here = logDepth(vUv);
  vec2 step = uPixel * uReach;
  float edge = 0.0;
  edge += max(0.0, here - logDepth(vUv + vec2(step.x, 0.0)));
  edge += max(0.0, here - logDepth(vUv - vec2(step.x, 0.0)));
  edge += max(0.0, here - logDepth(vUv + vec2(0.0, step.y)));
  edge += max(0.0, here - logDepth(vUv - vec2(0.0, step.y)));
  float light = here > 500.0 ? 1.0 : max(0.35, exp(-12.0 * edge));
  pixel = vec4(colour.rgb * light, 1.0);
}
`;
