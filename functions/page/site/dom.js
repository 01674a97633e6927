/** What the browser is asked for: elements, lists of them in step with data, and small stored values. */

/**
 * The element of the page with this id.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [type] for the types only
 * @returns {T}
 */
export function byId(id, type) {
  return /** @type {T} */ (document.getElementById(id));
}

/**
 * The first button inside.
 * @param {HTMLElement} parent
 */
export function buttonOf(parent) {
  return /** @type {HTMLButtonElement} */ (parent.querySelector("button"));
}

/**
 * Makes an element with properties and children. Strings become text nodes, never markup.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {object} properties
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/**
 * Keeps the children of `parent` in step with rows: elements are reused by key, and only those
 * whose row has changed are filled again.
 * @template R
 * @param {HTMLElement} parent
 * @param {Rows<R>} how
 * @returns {(rows: R[]) => void}
 */
export function keyed(parent, { key, make, fill, same }) {
  /** @type {Map<string, {element: HTMLElement, row: R}>} */
  let shown = new Map();

  /** @param {R} row */
  function elementFor(row) {
    const old = shown.get(key(row));
    const element = old?.element ?? make(row);
    if (!old || !same(old.row, row)) fill(element, row, old?.row);
    return element;
  }

  return (rows) => {
    const next = new Map(rows.map((row) => [key(row), { element: elementFor(row), row }]));
    for (const [name, { element }] of shown) if (!next.has(name)) element.remove();
    shown = next;
    let place = parent.firstChild;
    for (const { element } of next.values()) {
      if (element === place) place = place.nextSibling;
      else parent.insertBefore(element, place);
    }
  };
}

/**
 * Arrow keys, Home and End move the one tab stop among the children that match.
 * @param {HTMLElement} parent
 * @param {string} selector
 * @param {(items: HTMLElement[]) => HTMLElement | undefined} home where Tab goes first
 * @returns {() => void} to be called after changes: unless one is in the list, the tab stop is at home
 */
export function rove(parent, selector, home) {
  const all = () => /** @type {HTMLElement[]} */ ([...parent.querySelectorAll(selector)]);

  /** @param {HTMLElement} [chosen] */
  function stopAt(chosen) {
    for (const item of all()) {
      item.tabIndex = item === chosen ? 0 : -1;
      // What can be pressed inside has a tab stop only while its row is the chosen one.
      for (const inner of /** @type {NodeListOf<HTMLElement>} */ (item.querySelectorAll("a, button"))) {
        inner.tabIndex = item.tabIndex;
      }
    }
  }

  parent.addEventListener("focusin", ({ target }) => {
    const item = target instanceof HTMLElement && target.closest(selector);
    if (item instanceof HTMLElement) stopAt(item);
  });
  parent.addEventListener("keydown", (event) => {
    const items = all();
    const at = items.findIndex((item) => item.contains(document.activeElement));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    items[Math.max(0, to)]?.focus();
  });

  return () => stopAt(all().find((item) => item.contains(document.activeElement)) ?? home(all()));
}

/** Small values of this browser, in memory where its storage refuses. @param {() => Storage} storage a getter, since reading `localStorage` may throw */
function kept(storage) {
  /** @type {Map<string, string>} */
  const memory = new Map();

  return {
    /** @param {string} key */
    get(key) {
      try {
        return memory.get(key) ?? storage().getItem(key);
      } catch {
        return memory.get(key) ?? null;
      }
    },
    /** @param {string} key @param {string | null} value `null` or "" removes */
    set(key, value) {
      memory.delete(key);
      try {
        if (value) storage().setItem(key, value);
        else storage().removeItem(key);
      } catch {
        if (value) memory.set(key, value);
      }
    },
    /** Removes all that begins with this. @param {string} prefix */
    wipe(prefix) {
      memory.clear();
      try {
        for (const key of Object.keys(storage())) if (key.startsWith(prefix)) storage().removeItem(key);
      } catch {
        // It holds nothing of ours then.
      }
    },
  };
}

/** For all tabs. */
export const local = kept(() => localStorage);
/** For this tab. */
export const session = kept(() => sessionStorage);

/**
 * The name under which something of a conversation is kept. The quotes of JSON end a user id
 * whatever it holds, so two users never share a name.
 * @param {string} what @param {string} user @param {string} [peer]
 */
export const keyOf = (what, user, peer = "") => `meetme-${what} ${JSON.stringify(user)} ${peer}`;
