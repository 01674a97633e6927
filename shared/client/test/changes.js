// What a stand-in server does with edits and deletes. A log is an array of entries, ordered by number, as the history has them.

/** Returns the texts of a log. */
export const textsOf = (log) => log.filter(({ kind }) => !kind);

/** Returns the entries that the old form of the history has: texts that are not deleted. */
export const oldForm = (log) => textsOf(log).filter(({ deleted_seq }) => !deleted_seq).map(({ edited_seq, ...item }) => item);

/** Returns the error code of a change that the server refuses. */
export function problemOfChange(log, sender, { seq, action, message }) {
  if (action === "editMessage" && !message) return "message_empty";
  const target = textsOf(log).find((entry) => entry.seq === seq);
  if (!target || target.deleted_seq) return "message_not_found";
  return target.sender_id === sender ? undefined : "forbidden";
}

/** Returns the fields of the entry of a change. */
export const changeOf = ({ action, seq, message = "" }) => (action === "editMessage" ? { kind: "edit", target_seq: seq, message } : { kind: "delete", target_seq: seq, message: "" });

/** Gives the target of an entry that is a change, which is in the log, its new wording. */
export function makeChange(log, change) {
  if (change.target_seq === undefined) return;
  const target = textsOf(log).find(({ seq }) => seq === change.target_seq);
  if (target.deleted_seq) return void (change.message = "");
  if (change.kind === "edit") return void (change.seq > (target.edited_seq ?? 0) && Object.assign(target, { message: change.message, edited_seq: change.seq }));
  Object.assign(target, { message: "", deleted_seq: change.seq });
  for (const entry of log) if (entry.kind && entry.target_seq === target.seq) entry.message = "";
}

/** Returns what a client is to show of a text. */
export const shownOf = ({ seq, message, edited_seq = 0, deleted_seq = 0 }) => ({ seq, text: message, edited: edited_seq > 0 && !deleted_seq, deleted: deleted_seq > 0 });

/** Returns what a client shows of an entry. */
export const shown = ({ seq, text, edited, deleted }) => ({ seq, text, edited, deleted });
