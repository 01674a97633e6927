/** An error that a program can act on. It goes by the `code`; the sentence may change. */
export class ChatError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{retryable?: boolean, retryAfterMs?: number, cause?: unknown}} [details]
   */
  constructor(code, message, { retryable = false, retryAfterMs, cause } = {}) {
    super(message, { cause });
    this.name = "ChatError";
    this.code = code;
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Thrown by the token callback when the user has signed out. The client then closes its connections. */
export class SignedOut extends ChatError {
  constructor(message = "The user has signed out.") {
    super("signed_out", message);
    this.name = "SignedOut";
  }
}

/**
 * Returns an error that is worth a retry. If `cause` is a `ChatError`, returns that one.
 * @param {string} code
 * @param {string} message
 * @param {unknown} [cause]
 */
export const retryableError = (code, message, cause) =>
  cause instanceof ChatError ? cause : new ChatError(code, message, { retryable: true, cause });

/** @param {unknown} [cause] */
export const networkError = (cause) => retryableError("network", "The server cannot be reached.", cause);

export const unsupported = () => new ChatError("unsupported", "This server cannot do that.");

export const blockedError = () => new ChatError("blocked", "You have blocked this user.");

export const notMember = () => new ChatError("forbidden", "You are not in this group any more.");
