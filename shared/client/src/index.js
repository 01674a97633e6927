export { Chat } from "./chat.js";
export { Conversation } from "./conversation.js";
export { ChatError, SignedOut } from "./error.js";
export { indexedDbStorage } from "./storage.js";
