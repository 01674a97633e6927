// Types of the page's modules, known to all of them without an import.

type Chat = import("./client/index.js").Chat;
type Entry = import("./client/types.js").Entry;
type Snapshot = import("./client/types.js").Snapshot;
type Summary = import("./client/types.js").ConversationSummary;
type Conversation = ReturnType<Chat["with"]>;

/** A time of the server, as it comes. */
type Time = string | number | undefined;

/** `config.json` of the page. */
interface Config {
  socketUrl: string;
  auth: "open" | "jwt";
  /** The claim of a token that names the user. */
  userClaim: string;
}

/** Who is signed in, in this tab. */
interface Session {
  user: string;
  token?: string;
  /** When the token's lifetime is over, by this machine's clock. */
  until?: number;
}

/** How rows become elements. */
interface Rows<R> {
  /** Names a row; its element is kept as long as the key is there. */
  key: (row: R) => string;
  make: (row: R) => HTMLElement;
  /** Called when `same` says no. */
  fill: (element: HTMLElement, row: R, before?: R) => void;
  same: (a: R, b: R) => boolean;
}

/** A message, or what stands above one. */
interface Row {
  kind: "message" | "day" | "divider";
  key: string;
  entry: Entry;
  /** What else is shown; another look means other content of the element. */
  look: string;
}

/** A conversation in the list. */
interface ListRow {
  summary: Summary;
  draft: string;
  look: string;
}
