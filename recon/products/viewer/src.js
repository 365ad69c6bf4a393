// The 3D view of report.html: cloud, textured mesh and cameras, from binary blocks that the page holds as base64.
import {
  AmbientLight,
  BufferAttribute,
  BufferGeometry,
  Color,
  ColorManagement,
  DirectionalLight,
  DoubleSide,
  Group,
  LinearSRGBColorSpace,
  LineBasicMaterial,
  LineSegments,
  Mesh,
  MeshBasicMaterial,
  MeshLambertMaterial,
  PerspectiveCamera,
  Points,
  PointsMaterial,
  Scene,
  Texture,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";

ColorManagement.enabled = false; // colours are sRGB already and pass through as they are

const byId = (id) => document.getElementById(id);
const PICK_PX = 16;

function bytes(id) {
  const text = atob(byId(id).textContent.trim());
  const out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  return out.buffer;
}

// Positions are 16-bit shares of a cube: low + share * extent.
function place(object, block) {
  object.position.fromArray(block.low);
  object.scale.setScalar(block.extent);
  object.frustumCulled = false;
  return object;
}

function cloud(block) {
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Uint16Array(bytes("points-xyz")), 3, true));
  geometry.setAttribute("color", new BufferAttribute(new Uint8Array(bytes("points-rgb")), 3, true));
  return place(new Points(geometry, new PointsMaterial({ size: 2, sizeAttenuation: false, vertexColors: true })), block);
}

function surface(block, redraw) {
  const position = new BufferAttribute(new Uint16Array(bytes("mesh-xyz")), 3, true);
  const uv = new BufferAttribute(new Uint16Array(bytes("mesh-uv")), 2, true);
  const index = new BufferAttribute(new Uint32Array(bytes("mesh-index")), 1);
  const group = new Group();
  const plain = new MeshLambertMaterial({ color: 0xc9ccd1, flatShading: true, side: DoubleSide });
  block.pages.forEach((page, number) => {
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", position);
    geometry.setAttribute("uv", uv);
    geometry.setIndex(index);
    geometry.setDrawRange(page.first, page.count);
    const texture = new Texture();
    const image = new Image();
    image.onload = () => {
      texture.image = image;
      texture.needsUpdate = true;
      redraw();
    };
    image.src = "data:image/jpeg;base64," + byId("mesh-page-" + number).textContent.trim();
    const textured = new MeshBasicMaterial({ map: texture, side: DoubleSide });
    const mesh = place(new Mesh(geometry, textured), block);
    mesh.userData = { textured, plain };
    group.add(mesh);
  });
  return group;
}

function frustums(cameras) {
  const corners = [];
  const push = (camera, ...order) => order.forEach((i) => corners.push(...camera.corners[i]));
  for (const camera of cameras) push(camera, 0, 1, 0, 2, 0, 3, 0, 4, 1, 2, 2, 3, 3, 4, 4, 1);
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Float32Array(corners), 3));
  const lines = new LineSegments(geometry, new LineBasicMaterial({ color: 0x2f7fe0 }));
  lines.frustumCulled = false;
  return lines;
}

function start() {
  const box = byId("viewer");
  const canvas = byId("viewer-canvas");
  const about = JSON.parse(byId("scene").textContent);
  let renderer;
  try {
    renderer = new WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: true });
  } catch (error) {
    box.dataset.state = "unavailable";
    byId("viewer-notice").hidden = false;
    return;
  }
  renderer.outputColorSpace = LinearSRGBColorSpace;
  renderer.setPixelRatio(Math.min(window.devicePixelRatio || 1, 2));

  const scene = new Scene();
  const camera = new PerspectiveCamera(40, 1, about.radius / 500, about.radius * 100);
  camera.up.set(0, 0, 1);
  const light = new DirectionalLight(0xffffff, 2.2);
  camera.add(light);
  scene.add(camera, new AmbientLight(0xffffff, 1.1));
  const controls = new OrbitControls(camera, canvas);
  controls.zoomToCursor = true;

  let waiting = false;
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(draw);
  };
  const layers = { points: cloud(about.points), mesh: surface(about.mesh, redraw), cameras: frustums(about.cameras) };
  Object.values(layers).forEach((layer) => scene.add(layer));

  function background() {
    const style = getComputedStyle(box).getPropertyValue("--viewer").trim();
    scene.background = new Color(style || "#eceef1");
  }

  function draw() {
    waiting = false;
    renderer.info.reset();
    renderer.render(scene, camera);
    box.dataset.points = renderer.info.render.points;
    box.dataset.triangles = renderer.info.render.triangles;
    box.dataset.state = "drawn";
  }

  function resize() {
    const width = Math.max(1, box.clientWidth);
    const height = Math.max(1, canvas.clientHeight);
    renderer.setSize(width, height, false);
    camera.aspect = width / height;
    camera.updateProjectionMatrix();
    redraw();
  }

  function look(direction) {
    const distance = (about.radius * 0.95) / Math.sin(((camera.fov / 2) * Math.PI) / 180) / Math.min(1, camera.aspect);
    controls.target.fromArray(about.center);
    camera.position.copy(controls.target).addScaledVector(new Vector3(...direction).normalize(), distance);
    controls.update();
    redraw();
  }
  const views = { home: about.home, top: [0, -0.001, 1], front: [about.home[0], about.home[1], 0.02] };
  views.side = [-views.front[1], views.front[0], 0.02];

  function show(name) {
    const has = (layer) => name.split("+").includes(layer);
    layers.points.visible = has("points");
    layers.mesh.visible = has("textured") || has("shape");
    layers.mesh.children.forEach((mesh) => (mesh.material = has("shape") ? mesh.userData.plain : mesh.userData.textured));
    redraw();
  }

  box.querySelectorAll("[data-view]").forEach((button) => button.addEventListener("click", () => look(views[button.dataset.view])));
  box.querySelectorAll("[data-show]").forEach((input) => input.addEventListener("change", () => input.checked && show(input.dataset.show)));
  byId("viewer-cameras").addEventListener("change", (event) => {
    layers.cameras.visible = event.target.checked;
    redraw();
  });
  byId("viewer-size").addEventListener("input", (event) => {
    layers.points.material.size = Number(event.target.value) * renderer.getPixelRatio();
    redraw();
  });

  const label = byId("viewer-label");
  const centre = new Vector3();
  canvas.addEventListener("pointermove", (event) => {
    const area = canvas.getBoundingClientRect();
    let best = null;
    let nearest = PICK_PX;
    for (const row of layers.cameras.visible ? about.cameras : []) {
      centre.fromArray(row.corners[0]).project(camera);
      if (centre.z > 1) continue;
      const x = ((centre.x + 1) / 2) * area.width;
      const y = ((1 - centre.y) / 2) * area.height;
      const distance = Math.hypot(x - (event.clientX - area.left), y - (event.clientY - area.top));
      if (distance < nearest) [best, nearest] = [{ row, x, y }, distance];
    }
    label.hidden = best === null;
    if (best === null) return;
    label.textContent = best.row.name + (best.row.residual_px === null ? "" : ` \u00b7 ${best.row.residual_px.toFixed(2)} px`);
    label.style.left = `${Math.min(best.x, area.width - 160)}px`;
    label.style.top = `${best.y}px`;
  });

  controls.addEventListener("change", redraw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (background(), redraw()));
  new ResizeObserver(resize).observe(box);
  background();
  resize();
  layers.points.material.size = 2 * renderer.getPixelRatio();
  show(box.querySelector("[data-show]:checked").dataset.show);
  look(views.home);
}

window.addEventListener("error", (event) => {
  byId("viewer").dataset.error = String(event.message);
});
start();
