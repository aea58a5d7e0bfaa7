/* The backward pass one node at a time: buttons, a slider and the arrow keys. Python gets the number of the
 * step and sends the frame to show. */
function render({ model, el }) {
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const go = (index) => {
    const last = model.get("count") - 1;
    model.set("index", Math.min(Math.max(index, 0), last));
    model.save_changes();
  };
  const button = (label, text, step) => {
    const element = make("button", { type: "button", "aria-label": label, title: label }, text);
    element.addEventListener("click", () => go(step(model.get("index"))));
    return element;
  };
  const slider = make("input", { type: "range", min: 0, max: model.get("count") - 1, "aria-label": "step" });
  slider.addEventListener("input", () => go(Number(slider.value)));
  const heading = make("p", { class: "nnc-heading", "aria-live": "polite" });
  const table = make("table");
  const picture = make("div", { class: "nnc-picture" });
  const bar = make("div", { class: "nnc-bar", role: "group", "aria-label": "steps of the backward pass" },
    button("first step", "|◀", () => 0), button("one step back", "◀", (i) => i - 1), slider,
    button("one step forward", "▶", (i) => i + 1), button("last step", "▶|", () => model.get("count") - 1));
  const page = make("div", { class: "nnc-stepper", tabindex: 0, role: "region", "aria-label": "backward pass, step by step" },
    bar, heading, table, picture);
  const keys = { ArrowRight: (i) => i + 1, ArrowLeft: (i) => i - 1, Home: () => 0, End: () => model.get("count") - 1 };
  page.addEventListener("keydown", (event) => {
    if (!(event.key in keys)) return;
    go(keys[event.key](model.get("index")));
    event.preventDefault();
    event.stopPropagation(); // the notebook uses the arrow keys for its cells
  });

  const show = () => {
    const frame = model.get("frame");
    slider.value = model.get("index");
    heading.textContent = frame.heading;
    table.replaceChildren(make("tr", {}, ...frame.header.map((cell) => make("th", { scope: "col" }, cell))),
      ...frame.rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell)))));
    picture.replaceChildren(make("img", { alt: frame.alt, src: frame.picture }));
  };
  model.on("change:frame", show);
  el.append(page);
  show();
}
export default { render };
