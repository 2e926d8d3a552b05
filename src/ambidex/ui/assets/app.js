(function () {
  "use strict";
  var EVERY = 5000, tag = "", since = new Date(), pulse = document.getElementById("pulse");

  function clock(d) { return ("0" + d.getUTCHours()).slice(-2) + ":" + ("0" + d.getUTCMinutes()).slice(-2); }

  function say(live) {
    if (!pulse) { return; }
    var text = live ? "● Live" : "▲ Not reached since " + clock(since);
    if (pulse.textContent !== text) { pulse.textContent = text; pulse.className = "chip " + (live ? "ok" : "warn"); }
  }

  function key(e) { return [e.id, e.tagName, e.getAttribute("href"), e.getAttribute("name"), e.textContent].join("|"); }

  /* A part is changed in place: what is open stays open, what has the focus keeps it, no field changes under a hand. */
  function renew(old, fresh) {
    if (old.innerHTML === fresh.innerHTML || old.querySelector("[data-touched]")) { return; }
    var active = document.activeElement, held = active && old.contains(active) ? active : null;
    if (held && /^(INPUT|SELECT|TEXTAREA)$/.test(held.tagName)) { return; }
    var name = held ? key(held) : "", open = [], at = [];
    old.querySelectorAll("details").forEach(function (d, i) { if (d.open) { open.push(d.id || i); } });
    old.querySelectorAll(".scroll").forEach(function (s) { at.push(s.scrollLeft); });
    fresh.querySelectorAll("details").forEach(function (d, i) { d.open = open.indexOf(d.id || i) >= 0 || d.open; });
    if (old.innerHTML === fresh.innerHTML) { return; }
    old.replaceChildren.apply(old, Array.prototype.slice.call(fresh.childNodes));
    old.querySelectorAll(".scroll").forEach(function (s, i) { s.scrollLeft = at[i] || 0; });
    if (!held) { return; }
    var again = Array.prototype.find.call(old.querySelectorAll("a,button,summary,[tabindex]"), function (e) { return key(e) === name; });
    if (!again) { again = old; old.setAttribute("tabindex", "-1"); }
    again.focus({ preventScroll: true });
  }

  function take(text) {
    var next = new DOMParser().parseFromString(text, "text/html");
    document.querySelectorAll("[data-part]").forEach(function (old) {
      var fresh = next.getElementById(old.id);
      if (fresh) { renew(old, fresh); }
    });
  }

  function ask() {
    if (document.hidden) { return; }
    var head = { "X-Fragment": "1" };
    if (tag) { head["If-None-Match"] = tag; }
    fetch(location.href.split("#")[0], { headers: head, credentials: "same-origin", cache: "no-store", redirect: "manual" })
      .then(function (r) {
        if (r.type === "opaqueredirect" || r.status === 401) { location.reload(); return null; }
        if (!r.ok && r.status !== 304) { throw new Error(String(r.status)); }
        since = new Date();
        say(true);
        tag = r.headers.get("ETag") || "";
        return r.status === 304 ? null : r.text();
      })
      .then(function (text) { if (text) { take(text); } })
      .catch(function () { say(false); });
  }

  if (document.querySelector("[data-part]")) {
    setInterval(ask, EVERY);
    document.addEventListener("visibilitychange", ask);
  }
  document.addEventListener("input", function (e) { if (e.target.form) { e.target.form.setAttribute("data-touched", ""); } });
  document.addEventListener("submit", function (e) {
    var b = e.target.querySelector("button[data-busy]");
    if (b) { setTimeout(function () { b.disabled = true; b.textContent = b.getAttribute("data-busy"); }, 0); }
  });
})();
