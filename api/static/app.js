function o(t,e){t.textContent="recon"}o(document.body,()=>import("./mount-UIBPAZR7.js"));
