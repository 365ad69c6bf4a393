// The mesh of a GLB, textured or bare, coloured like the points.
import { BackSide, type BufferGeometry, FrontSide, GLSL3, Group, Mesh, MeshBasicMaterial, NoColorSpace, type Raycaster, ShaderMaterial, type Texture, Vector3 } from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { LOOK_GLSL, type Look } from "./colours";

type Drawn = Mesh<BufferGeometry, ShaderMaterial>;

export class Surface {
  readonly group = new Group();
  readonly faces: number;
  readonly hasTexture: boolean;
  readonly #fronts: Drawn[] = [];
  readonly #backs: Drawn[] = [];
  readonly #textures: Texture[] = [];

  private constructor(meshes: Mesh[], look: Look, anisotropy: number) {
    let [faces, textured] = [0, false];
    for (const mesh of meshes) {
      const bare = mesh.material as MeshBasicMaterial;
      const map = "map" in bare ? bare.map : null;
      if (map) {
        map.colorSpace = NoColorSpace; // colours pass through as they are
        map.anisotropy = anisotropy;
        this.#textures.push(map);
        textured = true;
      }
      const hasColour = mesh.geometry.hasAttribute("color");
      if (!mesh.geometry.hasAttribute("normal")) mesh.geometry.computeVertexNormals();
      const shared = {
        glslVersion: GLSL3,
        vertexShader: VERTEX,
        fragmentShader: FRAGMENT,
        vertexColors: hasColour,
        defines: map ? { HAS_MAP: "" } : {},
        uniforms: { ...look, uMap: { value: map } },
      };
      bare.dispose();
      const [front, back] = [FrontSide, BackSide].map((side) => new Mesh(mesh.geometry, new ShaderMaterial({ ...shared, side }))) as [Drawn, Drawn];
      [front.renderOrder, back.renderOrder] = [-1, -2];
      this.#fronts.push(front);
      this.#backs.push(back);
      this.group.add(back, front);
      faces += (mesh.geometry.index?.count ?? mesh.geometry.getAttribute("position").count) / 3;
    }
    // what is seen from its front hides what is seen from behind, however near: rooms are looked into through their walls
    this.#backs.at(-1)!.onAfterRender = (renderer) => renderer.clearDepth();
    this.faces = faces;
    this.hasTexture = textured;
    this.group.rotation.x = Math.PI / 2; // glTF is y up, the world z up
    this.group.updateMatrixWorld(true);
  }

  /** Null where the file holds no triangles. */
  static async parse(glb: ArrayBuffer, look: Look, anisotropy: number): Promise<Surface | null> {
    const gltf = await new GLTFLoader().parseAsync(glb, "");
    const meshes: Mesh[] = [];
    gltf.scene.traverse((node) => {
      if (node instanceof Mesh) meshes.push(node);
    });
    return meshes.length ? new Surface(meshes, look, anisotropy) : null;
  }

  /** The point of the surface that is seen along a ray: the nearest one of a front, or else of a back, that is not cut away. */
  pick(ray: Raycaster, isCut: (point: Vector3) => boolean): Vector3 | null {
    for (const side of [this.#fronts, this.#backs]) {
      const hit = ray.intersectObjects(side, false).find(({ point }) => !isCut(point));
      if (hit) return hit.point;
    }
    return null;
  }

  /** Every triangle, corners in the world. The vectors are used again. */
  eachTriangle(use: (a: Vector3, b: Vector3, c: Vector3) => void): void {
    const corners = [new Vector3(), new Vector3(), new Vector3()] as const;
    for (const mesh of this.#fronts) {
      const position = mesh.geometry.getAttribute("position");
      const index = mesh.geometry.index;
      const count = index?.count ?? position.count;
      for (let i = 0; i < count; i += 3) {
        corners.forEach((corner, k) => corner.fromBufferAttribute(position, index ? index.getX(i + k) : i + k).applyMatrix4(mesh.matrixWorld));
        use(...corners);
      }
    }
  }

  dispose(): void {
    this.#textures.forEach((texture) => {
      texture.dispose();
      if (texture.image instanceof ImageBitmap) texture.image.close();
    });
    [...this.#fronts, ...this.#backs].forEach((mesh) => (mesh.geometry.dispose(), mesh.material.dispose()));
    this.group.removeFromParent();
  }
}

const VERTEX = /* glsl */ `
out vec3 vWorld, vNormal, vEye, vTint;
out vec2 vUv;
void main() {
  vec4 world = modelMatrix * vec4(position, 1.0);
  vWorld = world.xyz;
  vNormal = mat3(modelMatrix) * normal;
  vEye = cameraPosition - world.xyz;
#ifdef HAS_MAP
  vUv = uv;
#endif
#ifdef USE_COLOR
  vTint = color.rgb;
#else
  vTint = vec3(0.78, 0.79, 0.81);
#endif
  gl_Position = projectionMatrix * viewMatrix * world;
}
`;

const FRAGMENT = /* glsl */ `
in vec3 vWorld, vNormal, vEye, vTint;
in vec2 vUv;
out vec4 pixel;
uniform sampler2D uMap;
${LOOK_GLSL}
void main() {
  if (isCut(vWorld)) discard;
  vec3 normal = normalize(vNormal);
  vec3 photo = vTint;
#ifdef HAS_MAP
  photo = texture(uMap, vUv).rgb;
  bool isLit = uMode == 5 || uMode == 1;
#else
  bool isLit = uMode == 5 || uMode == 1 || uMode == 0;
#endif
  vec3 colour = coloured(photo, vWorld, normal, 1.0, 0.0);
  float light = 0.38 + 0.62 * abs(dot(normal, normalize(vEye)));
  pixel = vec4(isLit ? colour * light : colour, 1.0);
}
`;
