/** Helpers for the browser's API: elements, lists of elements that follow data, and small stored values. */

/**
 * Returns the element with this id.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [type] for the type checker only
 * @returns {T}
 */
export function byId(id, type) {
  return /** @type {T} */ (document.getElementById(id));
}

/** Returns the address of a conversation in this page. @param {{id: string, peer: string}} conversation */
export const addressOf = ({ id, peer }) => (peer ? `#chat=${encodeURIComponent(peer)}` : `#group=${id.slice(6)}`);

/**
 * Returns the first button inside an element.
 * @param {HTMLElement} parent
 */
export function buttonOf(parent) {
  return /** @type {HTMLButtonElement} */ (parent.querySelector("button"));
}

/**
 * Creates an element with properties and children. Strings become text nodes, never markup.
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
 * Returns a function that makes the children of `parent` show rows. Elements are reused by key, and only those whose row has
 * changed are filled again.
 * @template R
 * @param {HTMLElement} parent
 * @param {RowRenderer<R>} renderer
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
    const focused = document.activeElement;
    const next = new Map(rows.map((row) => [key(row), { element: elementFor(row), row }]));
    for (const [name, { element }] of shown) if (!next.has(name)) element.remove();
    shown = next;
    let place = parent.firstChild;
    for (const { element } of next.values()) {
      if (element === place) place = place.nextSibling;
      else parent.insertBefore(element, place);
    }
    // An element that was moved has lost it.
    if (focused instanceof HTMLElement && focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
  };
}

/**
 * Makes a list with one tab stop (roving tabindex), which arrow keys, Home and End move among the matching children.
 * @param {HTMLElement} parent
 * @param {string} selector
 * @param {(items: HTMLElement[]) => HTMLElement | undefined} home chooses the item that Tab reaches first
 * @returns {() => void} updates the tab stop after a change of the list: unless the focus is in the list, it is at home
 */
export function rove(parent, selector, home) {
  const all = () => /** @type {HTMLElement[]} */ ([...parent.querySelectorAll(selector)]);

  /** @param {HTMLElement} [chosen] */
  function stopAt(chosen) {
    for (const item of all()) {
      item.tabIndex = item === chosen ? 0 : -1;
      // Links and buttons of other items are not tab stops.
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

/**
 * Wraps a storage of the browser. Values that it does not accept are kept in memory.
 * @param {() => Storage} storage a getter, because access to `localStorage` may throw
 */
function safeStorage(storage) {
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
    /** Removes all values whose key begins with this. @param {string} prefix */
    wipe(prefix) {
      memory.clear();
      try {
        for (const key of Object.keys(storage())) if (key.startsWith(prefix)) storage().removeItem(key);
      } catch {
        // A storage that throws holds no value of ours.
      }
    },
  };
}

/** Values for all tabs. */
export const local = safeStorage(() => localStorage);
/** Values for this tab. */
export const session = safeStorage(() => sessionStorage);

/**
 * Returns the storage key of a value of a user or a conversation. JSON quotes and escapes the user id, so that two users never
 * share a key.
 * @param {string} what @param {string} user @param {{id: string, peer: string}} [conversation]
 */
export const keyOf = (what, user, conversation) => `meetme-${what} ${JSON.stringify(user)} ${conversation ? conversation.peer || conversation.id : ""}`;
