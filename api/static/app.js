import"./chunk-UOB33HBP.js";function e(t,a){t.textContent="recon"}e(document.body,()=>import("./mount-4MAVPGJM.js"));
