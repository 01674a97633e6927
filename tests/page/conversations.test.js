// The page in a browser, on the whole chat: the list, and who is in it.

import "./list.js";
import "./groups.js";
import "./marks.js";
import "./blocks.js";
