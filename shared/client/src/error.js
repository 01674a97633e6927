/** An error that a program can act on: by its code, never by its sentence. */
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

/** Thrown by the token callback when the user has signed out: the client ends. */
export class SignedOut extends ChatError {
  constructor(message = "The user has signed out.") {
    super("signed_out", message);
    this.name = "SignedOut";
  }
}

/**
 * Returns an error that is worth a retry; `cause` itself if it is one of ours.
 * @param {string} code
 * @param {string} message
 * @param {unknown} [cause]
 */
export const passing = (code, message, cause) =>
  cause instanceof ChatError ? cause : new ChatError(code, message, { retryable: true, cause });

/** @param {unknown} [cause] */
export const unreachable = (cause) => passing("network", "The server cannot be reached.", cause);
