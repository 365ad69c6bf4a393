import"./chunk-UOB33HBP.js";function e(t,a){t.textContent="recon"}e(document.body,()=>import("./mount-BSZ32M22.js"));
