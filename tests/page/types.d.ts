// Global types of the page's modules.

type Chat = import("./client/index.js").Chat;
type Entry = import("./client/types.js").Entry;
type Snapshot = import("./client/types.js").Snapshot;
type Summary = import("./client/types.js").ConversationSummary;
type List = import("./client/types.js").ConversationList;
type Saved = import("./client/types.js").Saved;
type Presence = import("./client/types.js").Presence;
type Settings = import("./client/types.js").Settings;
type Conversation = ReturnType<Chat["with"]>;

/** A timestamp of the server, unparsed. */
type Time = string | number | undefined;

/** `config.json` of the page. */
interface Config {
  socketUrl: string;
  auth: "open" | "jwt";
  /** The claim of a token that names the user. */
  userClaim: string;
}

/** The session of a tab. */
interface Session {
  user: string;
  token?: string;
  /** Time when the token expires, on this machine's clock. */
  until?: number;
}

/** What the input does for the open conversation. */
interface Writing {
  send: (text: string) => void;
  /** Called at each change of the text. */
  typing: () => void;
  /** Lets the user edit the last own message. */
  editLast: () => void;
}

/** Makes and fills the elements of rows. */
interface RowRenderer<R> {
  /** Returns the key of a row. Rows with the same key share their element. */
  key: (row: R) => string;
  make: (row: R) => HTMLElement;
  /** Fills the element of a row that is new or not the `same` as before. */
  fill: (element: HTMLElement, row: R, before?: R) => void;
  same: (a: R, b: R) => boolean;
}

/** A message or an event, or a day or divider above one. */
interface Row {
  kind: "message" | "event" | "day" | "divider";
  key: string;
  entry: Entry;
  /** What else the element shows. When it changes, the element is filled again. */
  look: string;
}

/** A member of the open group. */
interface MemberRow {
  member: import("./client/types.js").Member;
  isUser: boolean;
  /** Whether the user may change the group. */
  canChange: boolean;
}

/** A conversation in the list. */
interface ListRow {
  summary: Summary;
  draft: string;
  look: string;
}
