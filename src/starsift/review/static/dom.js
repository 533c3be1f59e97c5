// The document. Text of people and of files only ever becomes text nodes.

/** An element: h("p", {className: "note"}, "text", otherElement). Unknown properties become attributes. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** Make the children of an element as many as the items, keep those that are there, and give each its item. */
export function refill(parent, items, make, update) {
  while (parent.childElementCount < items.length) parent.append(make());
  while (parent.childElementCount > items.length) parent.lastElementChild.remove();
  items.forEach((item, i) => update(parent.children[i], item));
}

export const $ = (id) => document.getElementById(id);

export const number = new Intl.NumberFormat("en");
