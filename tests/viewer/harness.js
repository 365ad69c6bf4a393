// A page that holds nothing but the viewer, with a job that the test describes in /job.json.
const { chunk, artifacts, measurements, writable } = await (await fetch("job.json")).json();
const { mountViewer } = await import(chunk);
const listeners = new Set();
const kept = [...measurements];
window.asked = [];
window.downloads = [];
window.job = {
  jobId: "job",
  artifacts: () => artifacts,
  onArtifacts: (changed) => (listeners.add(changed), () => listeners.delete(changed)),
  artifactUrl: async (name, renew) => {
    window.asked.push([name, Boolean(renew)]);
    return new URL(`files/${encodeURIComponent(name)}${renew ? "?renewed" : ""}`, location.href).href;
  },
  measurements: {
    writable,
    list: async () => [...kept],
    save: async (row) => (kept.push({ ...row, id: `m${kept.length}` }), kept.at(-1)),
    rename: async (id, name) => void (kept.find((row) => row.id === id).name = name),
    remove: async (id) => void kept.splice(kept.findIndex((row) => row.id === id), 1),
    download: async (format) => void window.downloads.push(format),
  },
};
window.kept = kept;
window.listeners = listeners;
window.arrive = (rows) => {
  artifacts.splice(0, artifacts.length, ...rows);
  listeners.forEach((changed) => changed());
};
window.mount = async () => (window.viewer = await mountViewer(document.getElementById("root"), window.job));
if (!location.search.includes("wait")) window.mount();
