// The types of the library. Nobody loads this file when the program runs.

/**
 * @typedef {"queued" | "sending" | "stored" | "delivered" | "read" | "failed"} EntryState
 *
 * @typedef {object} Entry A message as it is shown. A changed entry is a new object with the same `key`.
 * @property {string} key the same from the first moment on
 * @property {string} [clientId] the sender's own id of the message
 * @property {number} [seq] its number, once it is stored
 * @property {string} sender
 * @property {boolean} own
 * @property {string} text
 * @property {string} [timestamp] when the server stored it
 * @property {EntryState} state
 * @property {import("./error.js").ChatError} [error] why it has failed
 * @property {Promise<Entry>} [done] of own sends: resolves when it is stored, rejects when it has failed
 * @property {() => void} retry sends a failed one again, as the last one
 * @property {() => void} discard removes a failed or queued one
 *
 * @typedef {object} Snapshot A conversation as it is shown. Frozen.
 * @property {string} id
 * @property {string} peer
 * @property {readonly Entry[]} entries by number, then those that have none yet in order of sending
 * @property {boolean} more whether there may be older ones
 * @property {boolean} loading
 * @property {number} newest the highest number
 * @property {number} read up to which number this user has read
 * @property {number} unread how many messages of others have a higher one
 * @property {number} readByPeer
 * @property {readonly string[]} typing
 * @property {import("./error.js").ChatError} [error] why the history cannot be read now
 *
 * @typedef {object} ConversationSummary
 * @property {string} id
 * @property {string} peer
 * @property {number} unread
 * @property {number} newest
 * @property {Entry | null} last
 *
 * @typedef {"idle" | "connecting" | "online" | "waiting" | "offline" | "replaced" | "signed-out" | "closed"} LinkState
 *
 * @typedef {object} ChatState
 * @property {LinkState} state
 * @property {number} [retryAt] in state `waiting`: when the next try is, in the time of `now`
 * @property {import("./error.js").ChatError} [error] the reason, if there is one
 *
 * @typedef {(options: {signal: AbortSignal}) => Promise<string> | string} TokenCallback Throws `SignedOut` to end.
 *
 * @typedef {(level: "info" | "warn" | "error", event: string, fields: object) => void} Log
 *
 * @typedef {object} ChatOptions
 * @property {string} socketUrl `{user}` in it becomes the user id
 * @property {string} historyUrl what stands before `/chat/history`
 * @property {string} user
 * @property {TokenCallback} [token] without it there are no tokens
 * @property {Storage} [storage]
 * @property {any} [WebSocket]
 * @property {(url: string, init: any) => Promise<any>} [fetch]
 * @property {() => number} [now] milliseconds
 * @property {(use: () => void, ms: number) => any} [setTimeout]
 * @property {(timer: any) => void} [clearTimeout]
 * @property {() => number} [random] from 0 to 1
 * @property {any} [window]
 * @property {any} [document]
 * @property {any} [locks]
 * @property {any} [BroadcastChannel]
 * @property {Log} [log] never gets a text or a token
 * @property {Partial<Timing>} [timing]
 *
 * @typedef {{[name in keyof typeof import("./timing.js").TIMING]: number}} Timing
 *
 * @typedef {object} Storage What a store must do. Any operation may fail.
 * @property {boolean} persistent
 * @property {() => Promise<ConversationRow[]>} load
 * @property {(row: ConversationRow) => Promise<void>} putConversation `read` never goes back
 * @property {(row: OutboxRow) => Promise<void>} putRow
 * @property {(clientId: string) => Promise<void>} deleteRow
 * @property {(living: string[], tab: string) => Promise<OutboxRow[]>} adopt gives rows of other tabs than the living to `tab`, at once
 * @property {() => Promise<void>} clear
 * @property {() => Promise<void>} close
 *
 * @typedef {object} OutboxRow
 * @property {string} clientId
 * @property {string} peer
 * @property {string} text
 * @property {number} order
 * @property {number} created
 * @property {string} tab
 * @property {boolean} [saved]
 * @property {{code: string, message: string}} [error]
 *
 * @typedef {object} ConversationRow
 * @property {string} id
 * @property {string} peer
 * @property {number} read
 * @property {number} [high]
 * @property {{seq: number, clientId?: string, sender: string, text: string, timestamp?: string}[]} entries
 *
 * @typedef {object} Message
 * @property {number} seq
 * @property {string} [clientId]
 * @property {string} sender
 * @property {boolean} own
 * @property {string} text
 * @property {string} [timestamp]
 *
 * @typedef {object} Record What is behind an entry.
 * @property {string} key
 * @property {string} [clientId]
 * @property {number} [seq]
 * @property {string} sender
 * @property {boolean} own
 * @property {string} text
 * @property {string} [timestamp]
 * @property {EntryState} state
 * @property {import("./error.js").ChatError} [error]
 * @property {number} order
 * @property {number} created
 * @property {boolean} saved whether the local store has it
 * @property {number} expires
 * @property {Deferred<Entry>} [done]
 * @property {Entry} [view]
 *
 * @typedef {Record & {seq: number}} Stored One that has its number.
 *
 * @typedef {{after?: number, before?: number, limit: number}} Range A page of a log: the newest one, or one with an end.
 *
 * @typedef {{retry(record: Record): void, discard(record: Record): void}} EntryActions
 *
 * @typedef {import("./timeline.js").Timeline} Timeline
 *
 * @typedef {object} TimelineEffects
 * @property {(timeline: Timeline, record: Record) => void} save
 * @property {(record: Record) => void} drop
 * @property {(timeline: Timeline, record: Record) => void} stored
 * @property {(timeline: Timeline, record: Record, socket: number) => void} send
 * @property {() => void} probe
 * @property {(socket: number) => void} landed an ack is in, or awaited no more
 * @property {(timeline: Timeline, request: Range) => void} read
 *
 * @typedef {object} Socket A connection.
 * @property {number} id
 * @property {"main" | "next" | "old"} role
 * @property {boolean} open
 * @property {boolean} answered
 * @property {number} openedAt
 * @property {number} pingAt when to ping, after silence in both directions
 * @property {number} deadline until when it must open, answer, or be done
 * @property {number} tokenAt when to hand over because of the token
 * @property {number} handOverAt
 *
 * @typedef {object} Driver What conversations need of their chat.
 * @property {ReturnType<typeof import("./history.js").historyOf>} page
 * @property {() => unknown} start
 * @property {(event: (now: number) => unknown) => void} run
 * @property {() => import("./error.js").ChatError | undefined} ended
 * @property {() => {order: number, created: number}} stamp
 * @property {Emit<TimelineEffects>} emit
 *
 * @typedef {object} LinkEffects
 * @property {(id: number) => unknown} open
 * @property {(id: number) => unknown} shut
 * @property {(id: number) => unknown} ping
 * @property {(id: number) => unknown} alive
 * @property {(id: number, error: import("./error.js").ChatError | undefined) => unknown} lost
 * @property {(id: number) => unknown} landed what it carries may be acknowledged already
 * @property {() => void} state
 * @property {() => unknown} check
 * @property {(all: boolean) => void} catchUp
 *
 * @typedef {{[Name in keyof (LinkEffects & TimelineEffects)]: (...values: [...Parameters<(LinkEffects & TimelineEffects)[Name]>, now: number]) => unknown}} Effects What to do, and the time.
 *
 * @typedef {{type: "hello", tab: string} | {type: "read", id: string, seq: number} | {type: "forget"}} TabMessage
 *
 * @typedef {{value: string, lifetime: number, ends: number}} Token `ends` in the time of `clock`
 * @typedef {ReturnType<typeof import("./token.js").tokensOf>} Tokens
 * @typedef {{opened(id: number): void, received(id: number, data: unknown): void, closed(id: number, code: number): void}} SocketHandler
 *
 * @typedef {object} Env
 * @property {string} socketUrl
 * @property {string} historyUrl
 * @property {string} user
 * @property {TokenCallback} [token]
 * @property {Storage} [storage]
 * @property {any} WebSocket
 * @property {(url: string, init: any) => Promise<any>} fetch
 * @property {import("./timing.js").Clock} clock
 * @property {(use: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {() => number} random
 * @property {any} window
 * @property {any} document
 * @property {LockManager | undefined} locks
 * @property {any} BroadcastChannel
 * @property {Log} log
 * @property {Timing} timing
 * @property {AbortSignal} closing aborted at the end
 * @property {() => void} close
 * @property {<T>(ms: number, what: string, use: (signal: AbortSignal) => Promise<T>) => Promise<T>} within fails after `ms`, and at the end
 */

/**
 * @template T
 * @typedef {ReturnType<typeof import("./listeners.js").listenersOf<T>>} Listeners
 */

/**
 * @template T
 * @typedef {{promise: Promise<T>, resolve(value: T): void, reject(error: unknown): void}} Deferred
 */

/**
 * @template Effects
 * @typedef {<Name extends keyof Effects>(name: Name, ...values: Effects[Name] extends (...values: infer V) => void ? V : never) => void} Emit
 */

export {};
