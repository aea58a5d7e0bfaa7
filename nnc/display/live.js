/* Live plots of training: the curves of loss and accuracy, and the first layer's weights as pictures. */
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 360, HEIGHT = 160, MARGIN = 34;

function render({ model, el }) {
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const heading = make("p", { class: "nnc-heading", "aria-live": "polite" });
  const plots = make("div", { class: "nnc-plots" });
  const canvas = make("canvas", { role: "img" });
  const slider = make("input", { type: "range", min: 1, max: 1, "aria-label": "epoch whose weights are shown" });
  slider.addEventListener("input", () => {
    model.set("epoch", Number(slider.value));
    model.save_changes();
  });
  slider.addEventListener("keydown", (event) => event.stopPropagation()); // the notebook uses the arrow keys for its cells
  const page = make("div", { class: "nnc-live", role: "region", "aria-label": "training" }, heading, plots, canvas,
    make("label", { class: "nnc-bar" }, "epoch", slider));

  const plot = (title, curves) => {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("role", "img");
    const values = curves.flatMap((c) => c.values).filter(Number.isFinite);
    const last = curves.map((c) => `${c.name} ${c.values.at(-1)?.toPrecision(4) ?? "–"}`).join(", ");
    svg.setAttribute("aria-label", `${title} after each epoch: ${last}`);
    const low = Math.min(...values), high = Math.max(...values), span = high - low || 1;
    const count = Math.max(...curves.map((c) => c.values.length));
    const x = (i) => MARGIN + (i * (WIDTH - MARGIN - 8)) / Math.max(count - 1, 1);
    const y = (v) => HEIGHT - 18 - ((v - low) * (HEIGHT - 40)) / span;
    const add = (tag, attributes, text = "") => {
      const element = document.createElementNS(SVG, tag);
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
      element.textContent = text;
      svg.append(element);
    };
    add("text", { x: MARGIN, y: 13 }, last);
    if (values.length) {
      add("text", { x: 0, y: y(high) + 4 }, high.toPrecision(3));
      add("text", { x: 0, y: y(low) + 4 }, low.toPrecision(3));
    }
    add("path", { d: `M${MARGIN} 20V${HEIGHT - 14}H${WIDTH - 4}`, class: "nnc-axis" });
    curves.forEach((c, k) => {
      const points = c.values.map((v, i) => [i, v]).filter(([, v]) => Number.isFinite(v));
      add("polyline", { points: points.map(([i, v]) => `${x(i)},${y(v)}`).join(" "), class: `nnc-curve nnc-curve-${k}` });
      points.forEach(([i, v]) => add("circle", { cx: x(i), cy: y(v), r: 2, class: `nnc-point nnc-curve-${k}` }));
    });
    return svg;
  };

  const show = () => {
    heading.textContent = model.get("heading");
    plots.replaceChildren(...model.get("plots").map((p) => plot(p.title, p.curves)));
    slider.max = model.get("epochs");
    slider.value = model.get("epoch");
    const [height, width] = model.get("shape"), grey = new Uint8Array(model.get("picture").buffer);
    canvas.width = width;
    canvas.height = height;
    canvas.setAttribute("aria-label", `weights of the first layer after epoch ${model.get("epoch")}`);
    const pixels = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) pixels.data.set([grey[i], grey[i], grey[i], 255], 4 * i);
    canvas.getContext("2d").putImageData(pixels, 0, 0);
  };
  model.on("change:picture change:plots", show);
  el.append(page);
  show();
}
export default { render };
