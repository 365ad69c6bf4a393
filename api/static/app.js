import"./chunk-UOB33HBP.js";function e(t,a){t.textContent="recon"}e(document.body,()=>import("./mount-W5SLCX3J.js"));
