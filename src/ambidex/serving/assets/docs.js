"use strict";
for (const form of document.querySelectorAll("form[data-path]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const out = form.querySelector("output pre");
    const headers = { "Content-Type": "application/json" };
    const token = form.querySelector("input[name=token]");
    if (token && token.value) headers.Authorization = "Bearer " + token.value.trim();
    form.querySelector("output").hidden = false;
    out.textContent = "…";
    try {
      const began = performance.now();
      const answer = await fetch(form.dataset.path, { method: "POST", headers, body: form.querySelector("textarea").value });
      const took = Math.round(performance.now() - began);
      const text = await answer.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* as it came */ }
      out.textContent = answer.status + " " + answer.statusText + " in " + took + " ms\n" + shown.slice(0, 20000);
    } catch (error) {
      out.textContent = "no answer: " + error.message;
    }
  });
}
