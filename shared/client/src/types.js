// The types of the library. No program loads this file.

/**
 * @typedef {"queued" | "sending" | "stored" | "delivered" | "read" | "failed"} EntryState
 *
 * @typedef {object} Entry A message as it is shown. When an entry changes, a new object with the same `key` takes its place.
 * @property {string} key never changes
 * @property {string} [clientId] the id that the sender has given the message
 * @property {number} [seq] its number, once it is stored
 * @property {string} sender
 * @property {boolean} own
 * @property {string} text "" if it is deleted
 * @property {boolean} edited
 * @property {boolean} deleted
 * @property {Change} [change] the user's last edit or delete of it that is not stored yet. Unless that has failed, the entry shows it as made
 * @property {string} [timestamp] when the server stored it
 * @property {EntryState} state
 * @property {import("./error.js").ChatError} [error] why it has failed
 * @property {GroupEvent} [event] what has changed the group, if it is no message
 * @property {Promise<Entry>} [done] of a message sent here: resolves when it is stored, rejects when it has failed
 * @property {() => void} retry queues a failed message again, at the end
 * @property {() => void} discard removes a failed or queued message
 *
 * @typedef {object} GroupEvent What an entry changes in a group. Frozen. The program puts it into words.
 * @property {"create" | "join" | "leave" | "rename" | "role"} kind
 * @property {readonly string[]} users who join or leave, or get a role; the first one of a new group has created it
 * @property {string} [title] the new one
 * @property {"owner" | "member"} [role] the new one
 * @property {string} [newOwner] who is an owner from now on, because the last one has left
 * @property {"joined" | "all"} [history] in a request to create a group
 *
 * @typedef {object} Member Frozen.
 * @property {string} id
 * @property {"owner" | "member"} role
 *
 * @typedef {object} NewGroup
 * @property {string} title 1 to 256 bytes
 * @property {Iterable<string>} users the other members
 * @property {"joined" | "all"} [history] what members may read of the time before they join; default: nothing
 *
 * @typedef {object} Change
 * @property {"edit" | "delete"} kind
 * @property {string} text the new one
 * @property {EntryState} state `queued`, `sending` or `failed`
 * @property {import("./error.js").ChatError} [error] why it has failed
 * @property {() => void} retry queues a failed change again, at the end
 * @property {() => void} discard removes a failed or queued change
 *
 * @typedef {object} Snapshot A conversation as it is shown. Frozen.
 * @property {string} id
 * @property {string} peer "" of a group
 * @property {boolean} isGroup
 * @property {string} title of the group, or the peer; "" while it is not known
 * @property {readonly Member[]} [members] of the group, the longest first; undefined until they are known
 * @property {"owner" | "member"} [role] of this user in the group
 * @property {boolean} muted whether new messages make no notifications
 * @property {boolean} blocked whether the user has blocked the peer, whose messages are not shown
 * @property {boolean} isMember false of a group in which this user is no more, as far as is known: it can be read, but not written
 * @property {readonly Entry[]} entries first those with a number, in its order; then the others, in the order of sending
 * @property {boolean} more whether there may be older messages
 * @property {boolean} loading whether a page is being read
 * @property {number} newest the highest number
 * @property {number} read the number up to which this user has read, on any device
 * @property {number} unread number of messages of the peer after `read`; 100: or more
 * @property {number} [firstUnread] number of the first message of the peer after `read`, of those in `entries`
 * @property {boolean} marksKnown whether `read` and `unread` are the server's, or it has none; false until the list was read
 * @property {number} readByPeer the number up to which the peer has read, as far as the server tells; in a group, one of the others
 * @property {number} deliveredToPeer the number up to which the peer has got the messages; in a group, one of the others
 * @property {Presence} [presence] of the peer, if the server tells it
 * @property {readonly string[]} typing the users who type now, this one left out
 * @property {import("./error.js").ChatError} [error] why the history cannot be read now
 *
 * @typedef {object} Presence
 * @property {boolean} online
 * @property {string} [lastSeen] time at which the user was online, to the minute, hour or day
 *
 * @typedef {Pick<Entry, "key" | "seq" | "sender" | "own" | "text" | "deleted" | "timestamp" | "state" | "event">} Preview An entry, or its first 200 characters.
 *
 * @typedef {object} ConversationSummary Frozen.
 * @property {string} id
 * @property {string} peer "" of a group
 * @property {boolean} isGroup
 * @property {string} title of the group, or the peer
 * @property {boolean} muted whether new messages make no notifications
 * @property {boolean} blocked whether the user has blocked the peer
 * @property {number} unread 0 to 100; 100: or more
 * @property {number} newest the highest number
 * @property {Preview | null} last the newest message that is not deleted, or the newest entry
 * @property {boolean} typing whether somebody types now
 * @property {Presence} [presence] of the peer, if the server tells it
 *
 * @typedef {object} ConversationList Frozen.
 * @property {readonly ConversationSummary[]} conversations newest first
 * @property {number} unread the sum of theirs
 * @property {boolean} more whether the server has older ones
 * @property {boolean} loading whether the list is being read
 * @property {import("./error.js").ChatError} [error] why the list cannot be read now
 *
 * @typedef {object} Settings
 * @property {boolean} receipts whether the user and others tell each other what they have read
 * @property {boolean} presence whether the user and others tell each other when they are online
 *
 * @typedef {"idle" | "connecting" | "online" | "waiting" | "offline" | "replaced" | "signed-out" | "closed"} LinkState
 *
 * @typedef {object} ChatState
 * @property {LinkState} state
 * @property {number} [retryAt] in state `waiting`: the time of the next attempt, on the clock of `now`
 * @property {import("./error.js").ChatError} [error] the reason, if there is one
 *
 * @typedef {(options: {signal: AbortSignal}) => Promise<string> | string} TokenCallback Throws `SignedOut` to sign out.
 *
 * @typedef {(level: "info" | "warn" | "error", event: string, fields: object) => void} Log
 *
 * @typedef {object} ChatOptions
 * @property {string} socketUrl `{user}` in it becomes the user id
 * @property {string} historyUrl URL of the HTTP API, without `/chat/history`
 * @property {string} user
 * @property {TokenCallback} [token] without it, the chat uses no tokens
 * @property {Storage} [storage]
 * @property {any} [WebSocket]
 * @property {(url: string, init: any) => Promise<any>} [fetch]
 * @property {() => number} [now] milliseconds
 * @property {(callback: () => void, ms: number) => any} [setTimeout]
 * @property {(timer: any) => void} [clearTimeout]
 * @property {() => number} [random] from 0 to 1
 * @property {any} [window]
 * @property {any} [document]
 * @property {any} [locks]
 * @property {any} [BroadcastChannel]
 * @property {Log} [log] gets no text of a message and no token
 * @property {Partial<Timing>} [timing]
 *
 * @typedef {{[name in keyof typeof import("./timing.js").TIMING]: number}} Timing
 *
 * @typedef {object} Storage The local storage of one user. Any operation may fail.
 * @property {boolean} persistent whether the rows outlive the page
 * @property {() => Promise<ConversationRow[]>} load
 * @property {(row: ConversationRow) => Promise<void>} putConversation keeps the larger `read`
 * @property {(row: OutboxRow) => Promise<void>} putRow
 * @property {(clientId: string) => Promise<void>} deleteRow
 * @property {(liveTabs: string[], tab: string) => Promise<OutboxRow[]>} adopt assigns the rows of all tabs but `liveTabs` to `tab`, in one transaction, and returns them
 * @property {() => Promise<void>} clear
 * @property {() => Promise<void>} close
 *
 * @typedef {object} OutboxRow A message or a change that is not acknowledged yet.
 * @property {string} clientId
 * @property {string} [peer] of a message to a user
 * @property {{kind: ChangeKind, target: number | string, peer: string}} [change] apart from `peer`, so that a program that knows no changes does not send one as a message
 * @property {{id: string, kind?: ChangeKind, target?: number | string, event?: GroupEvent}} [group] of a group, apart from `peer` for the same reason; "": one that is being created
 * @property {string} text
 * @property {number} order place in the order of sending
 * @property {number} created on the clock of `now`
 * @property {string} tab id of the tab that sends it
 * @property {boolean} [saved]
 * @property {{code: string, message: string}} [error]
 *
 * @typedef {object} OutgoingMessage A message or a change that is to be sent.
 * @property {string} clientId
 * @property {ChangeKind} [kind]
 * @property {number | string} [target] the number of the message that is changed, or the client id of one that has none yet
 * @property {GroupEvent} [event]
 * @property {string} text
 * @property {number} order place in the order of sending
 * @property {number} created on the clock of `now`
 * @property {boolean} saved
 * @property {boolean} [attempted]
 *
 * @typedef {"edit" | "delete" | "event"} ChangeKind Kind of an entry that the user makes, if it is no text.
 *
 * @typedef {object} ConversationRow What is stored of a conversation: the read mark and the newest page.
 * @property {string} id
 * @property {string} peer "" of a group
 * @property {string} [title] of a group
 * @property {readonly Member[]} [members] of a group
 * @property {number} read
 * @property {number} [high]
 * @property {{seq: number, clientId?: string, sender: string, text: string, timestamp?: string, editedSeq?: number, deletedSeq?: number, event?: GroupEvent}[]} entries
 * @property {boolean} [changed] whether the changes up to `high` are made in `entries`; a program that knew none has left it out
 * @property {ListRow} [listed]
 *
 * @typedef {object} ListRow A row of the server's list.
 * @property {string} id
 * @property {string} peer "" of a group
 * @property {string} [title] of a group
 * @property {number} newest number of an entry of any kind
 * @property {string} [timestamp] of the newest message
 * @property {{seq: number, sender: string, own: boolean, text: string, timestamp?: string, deleted: boolean}} [preview]
 * @property {number} unread
 * @property {number} read
 * @property {number} delivered
 * @property {number} peerRead
 * @property {number} peerDelivered
 * @property {boolean} [muted] undefined in a row that an older program has stored
 * @property {boolean} [blocked]
 *
 * @typedef {{rows: ListRow[], count: number, next?: string}} ListPage `count`: of the conversations of two users; `next`: where the next page begins
 * @typedef {{before?: string, limit: number}} ListRange
 *
 * @typedef {object} Message A message of the log, or what has changed the group.
 * @property {number} seq
 * @property {string} [clientId]
 * @property {string} sender
 * @property {boolean} own
 * @property {string} text
 * @property {boolean} edited
 * @property {boolean} deleted
 * @property {GroupEvent} [event]
 * @property {string} [timestamp]
 *
 * @typedef {{id: string, peer: string, title?: string}} Place A conversation. `peer`: "" of a group, which has a title
 * @typedef {Message & {conversation: Place, cursor: string}} Saved A message of any conversation. `cursor`: where to go on after it
 *
 * @typedef {ChangeKind | "other"} EntryKind Kind of an entry that is no text.
 *
 * @typedef {object} Wording The text of a message, from one of its versions on.
 * @property {string} text
 * @property {number} editedSeq number of the edit that it is from; 0: it is the first
 * @property {number} deletedSeq number of the delete; 0: there is none
 *
 * @typedef {object} LogEntryFields
 * @property {number} seq
 * @property {EntryKind} [kind] not of a text
 * @property {number} [target] number of the text that an edit or a delete is about
 * @property {GroupEvent} [event]
 * @property {string} [clientId]
 * @property {string} sender
 * @property {boolean} own
 * @property {string} [timestamp]
 *
 * @typedef {LogEntryFields & Wording} LogEntry An entry of the log, and the wording of its text: its own, or the one of its target.
 *
 * @typedef {object} EntryRecord The mutable state of an entry.
 * @property {string} key
 * @property {string} [clientId]
 * @property {number} [seq]
 * @property {string} sender
 * @property {boolean} own
 * @property {string} text
 * @property {number} editedSeq
 * @property {number} deletedSeq
 * @property {ChangeKind} [kind] of a change
 * @property {number | string} [target] of a change of a message
 * @property {GroupEvent} [event] of a change of a group
 * @property {boolean} [attempted] whether the server may have it
 * @property {string} [timestamp]
 * @property {EntryState} state
 * @property {import("./error.js").ChatError} [error]
 * @property {number} order
 * @property {number} created
 * @property {boolean} saved whether the storage has it
 * @property {number} expires time at which it fails if it is not sent
 * @property {Deferred<any>} [done]
 * @property {Entry} [view] the public entry, until something changes
 *
 * @typedef {EntryRecord & {seq: number}} StoredRecord A record of the log.
 *
 * @typedef {{after?: number, before?: number, limit: number}} Range A page of the log: the newest one, or the one before or after a number.
 *
 * @typedef {{retry(record: EntryRecord): void, discard(record: EntryRecord): void}} EntryActions
 *
 * @typedef {import("./timeline.js").Timeline} Timeline
 * @typedef {import("./link.js").Link} Link
 * @typedef {import("./conversations.js").Conversations} Conversations
 *
 * @typedef {object} TimelineEffects Effects of a timeline, which `Chat` executes.
 * @property {(timeline: Timeline, record: EntryRecord) => void} save writes a row of the outbox
 * @property {(record: EntryRecord) => void} drop deletes a row of the outbox
 * @property {(timeline: Timeline, record: EntryRecord) => void} stored resolves `done`
 * @property {(timeline: Timeline, record: EntryRecord, connection: number) => void} send
 * @property {(timeline: Timeline) => void} typing tells the peer that the user types
 * @property {(timeline: Timeline, marks: {read?: number, delivered?: number}, connection: number) => void} mark tells the server marks of the user
 * @property {() => void} doubt the list may count or show a text that was deleted
 * @property {() => void} probe pings the connection, because an ack is late
 * @property {(connection: number) => void} checkDrained an ack has arrived on it, or is not awaited any more
 * @property {(timeline: Timeline, request: Range) => void} read reads a page of the history
 * @property {(timeline: Timeline, high: number) => void} readMembers reads the members of a group; the entries up to `high` are known
 *
 * @typedef {object} Connection
 * @property {number} id
 * @property {"main" | "next" | "old"} role
 * @property {boolean} open
 * @property {boolean} proven whether a response has arrived on it
 * @property {number} openedAt
 * @property {number} pingAt time of the next ping, after silence in both directions
 * @property {number} deadline time by which it must be open, have responded to a ping, or have its last acks
 * @property {number} tokenAt time to replace it because its token expires
 * @property {number} handOverAt time to replace it
 *
 * @typedef {object} Driver The part of `Chat` that its conversations use.
 * @property {ReturnType<typeof import("./history.js").createHistory>["readPage"]} readPage
 * @property {() => boolean} canChange whether the server can change messages
 * @property {(of: {id: string}, change: {muted?: boolean, blocked?: boolean}) => Promise<void>} set changes what the user has set for a conversation
 * @property {() => unknown} start loads the storage, once
 * @property {(event: (now: number) => unknown) => void} run runs an event and executes its effects
 * @property {() => import("./error.js").ChatError | undefined} closeReason
 * @property {() => {order: number, created: number}} stamp the next place in the order of sending
 * @property {Emit<TimelineEffects & ListEffects>} emit
 * @property {() => void} watch a conversation is shown from now on
 *
 * @typedef {object} LinkEffects Effects of the link, which `Chat` executes. `id` is that of a connection.
 * @property {(id: number) => unknown} open
 * @property {(id: number) => unknown} close
 * @property {(id: number) => unknown} ping
 * @property {(id: number) => unknown} alive a response has arrived on it
 * @property {(id: number, error: import("./error.js").ChatError | undefined) => unknown} lost it is closed; `error`: a message that was sent on it is the reason
 * @property {(id: number) => unknown} checkDrained its last ack may have arrived already
 * @property {() => void} state the state has changed
 * @property {() => unknown} diagnose finds out why handshakes are rejected
 * @property {(connected: boolean) => void} catchUp reads what may have been missed; there is a new connection, or one has been replaced
 *
 * @typedef {object} ListEffects Effects of the list, which `Chat` executes.
 * @property {(request: ListRange) => void} readList reads a page of the list
 * @property {(timelines: Timeline[]) => void} readPresence asks for the presence of the peers
 *
 * @typedef {LinkEffects & TimelineEffects & ListEffects} AllEffects
 * @typedef {"close" | "ping" | "send" | "typing" | "mark"} SentEffects Those that send frames.
 * @typedef {"read" | "readMembers" | "readList" | "readPresence"} ReadEffects Those that request what the state machines need.
 * @typedef {{[Name in keyof AllEffects]: (...values: [...Parameters<AllEffects[Name]>, now: number]) => unknown}} Effects Functions that execute effects. Each gets the time last.
 *
 * @typedef {{type: "hello", tab: string} | {type: "read", id: string, seq: number} | {type: "forget"}} TabMessage
 *
 * @typedef {{value: string, lifetime: number, expiresAt: number}} Token `expiresAt` on the clock `env.clock`
 * @typedef {ReturnType<typeof import("./token.js").createTokens>} Tokens
 *
 * @typedef {{status: number, body: unknown, link: string | null, retryAfter: number}} Response `retryAfter` in seconds; 0: the server does not say
 * @typedef {ReturnType<typeof import("./request.js").createRequest>} Request
 *
 * @typedef {object} RequestOptions
 * @property {boolean} [optional] whether an older server lacks the resource: status 404 means `unsupported`
 * @property {object} [change] is put
 *
 * @typedef {{opened(id: number): void, received(id: number, data: unknown): void, closed(id: number, code: number): void}} SocketHandler
 *
 * @typedef {object} Env Everything that the library takes from outside.
 * @property {string} socketUrl
 * @property {string} historyUrl
 * @property {string} user
 * @property {TokenCallback} [token]
 * @property {Storage} [storage]
 * @property {any} WebSocket
 * @property {(url: string, init: any) => Promise<any>} fetch
 * @property {import("./timing.js").Clock} clock
 * @property {(callback: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {() => number} random
 * @property {any} window
 * @property {any} document
 * @property {LockManager | undefined} locks
 * @property {any} BroadcastChannel
 * @property {Log} log
 * @property {Timing} timing
 * @property {AbortSignal} closing aborted when the chat is closed
 * @property {() => void} close
 * @property {<T>(ms: number, operation: string, run: (signal: AbortSignal) => Promise<T>) => Promise<T>} withTimeout rejects after `ms`, and when the chat is closed
 */

/**
 * @template T
 * @typedef {ReturnType<typeof import("./listeners.js").createListeners<T>>} Listeners
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
