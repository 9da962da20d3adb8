// Looks at every page in a frame and writes what is wrong to #out.
function look(width, doc, win) {
  const faults = [], say = (s) => faults.push(width + " px: " + s);
  for (const d of doc.querySelectorAll("details")) d.open = true;
  const root = doc.documentElement;
  if (root.scrollWidth > win.innerWidth) say("the page is " + root.scrollWidth + " px wide");
  const touch = (a, b, by) => a.left < b.right - by && b.left < a.right - by && a.top < b.bottom - by && b.top < a.bottom - by;
  const inside = (a, b) => a.left >= b.left - 0.5 && a.right <= b.right + 0.5 && a.top >= b.top - 0.5 && a.bottom <= b.bottom + 0.5;
  const figures = [...doc.querySelectorAll("figure.plot")];
  for (const figure of figures) {
    const title = figure.querySelector("figcaption").textContent, svg = figure.querySelector(":scope > svg");
    const picture = svg.getBoundingClientRect();
    if (picture.width < 200) say(title + ": the picture is " + picture.width + " px wide");
    for (const other of [figure.querySelector(".legend"), figure.querySelector("figcaption")])
      if (touch(other.getBoundingClientRect(), picture, 0.5)) say(title + ": " + other.className + other.tagName + " stands on the picture");
    const keys = [...figure.querySelectorAll(".legend > span")].map((e) => [e.textContent, e.getBoundingClientRect()]);
    const texts = [...svg.querySelectorAll("text")].map((e) => [e.textContent, e.getBoundingClientRect()]);
    for (const list of [keys, texts])
      for (let i = 0; i < list.length; i++)
        for (let j = 0; j < i; j++)
          if (touch(list[i][1], list[j][1], 0.5)) say(title + ": \"" + list[i][0] + "\" touches \"" + list[j][0] + "\"");
    for (const [name, box] of texts) {
      if (!inside(box, picture)) say(title + ": \"" + name + "\" leaves the picture");
      if (parseFloat(win.getComputedStyle(svg.querySelector("text")).fontSize) * picture.width / svg.viewBox.baseVal.width < 10) say(title + ": \"" + name + "\" is smaller than 10 px");
    }
    for (const circle of svg.querySelectorAll("circle")) {
      const box = circle.getBoundingClientRect();
      if (!inside(box, picture)) say(title + ": a dot leaves the picture");
      for (const [name, text] of texts) if (touch(box, text, 0.5)) say(title + ": a dot touches \"" + name + "\"");
    }
    for (const path of svg.querySelectorAll("path.line, path.interval")) {
      const to = path.getScreenCTM(), n = 400, length = path.getTotalLength();
      for (let i = 0; i <= n; i++) {
        const p = path.getPointAtLength(length * i / n).matrixTransform(to), dot = {left: p.x, right: p.x, top: p.y, bottom: p.y};
        if (!inside(dot, picture)) { say(title + ": a curve leaves the picture"); break; }
        const hit = texts.find(([, box]) => touch(dot, box, -0.01));
        if (hit) { say(title + ": a curve runs through \"" + hit[0] + "\""); break; }
      }
    }
  }
  return [figures.length, faults];
}
addEventListener("load", () => {
  const out = {Frames: 0, Plots: 0, Faults: []};
  for (const f of document.querySelectorAll("iframe")) {
    const [plots, faults] = look(f.clientWidth, f.contentDocument, f.contentWindow);
    out.Frames++; out.Plots += plots; out.Faults.push(...faults);
  }
  document.getElementById("out").textContent = JSON.stringify(out);
});
