// The page in a browser, on the whole chat: its window, for everybody who uses it, and with a connection that fails.

import "./access.js";
import "./connection.js";
import "./session.js";
