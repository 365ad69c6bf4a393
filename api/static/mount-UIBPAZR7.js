function o(e,r){return e.dataset.job=r.jobId,{dispose:()=>e.replaceChildren()}}export{o as mountViewer};
