// A storage in memory, which several chats of a test can share, as tabs share IndexedDB.

/** @returns {import("../src/types.js").Storage} */
export function memoryStorage() {
  const outbox = new Map();
  const conversations = new Map();
  return {
    persistent: false,
    load: async () => [...conversations.values()],
    putConversation: async (row) => void conversations.set(row.id, merge(conversations.get(row.id), row)),
    putRow: async (row) => void outbox.set(row.clientId, row),
    deleteRow: async (clientId) => void outbox.delete(clientId),
    adopt: async (liveTabs, tab) => {
      const rows = [...outbox.values()].filter((row) => !liveTabs.includes(row.tab));
      for (const row of rows) outbox.set(row.clientId, { ...row, tab });
      return rows;
    },
    clear: async () => (outbox.clear(), conversations.clear()),
    close: async () => {},
  };
}

const merge = (a, b) => (a ? { ...(a.high > b.high ? a : b), read: Math.max(a.read, b.read) } : b);
