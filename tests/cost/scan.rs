//! What the usual sample costs: all connections in one table of DynamoDB, which is scanned for every
//! message, and a push to one socket after the other.
//!
//! The model is [simple-websockets-chat-app](https://github.com/aws-samples/simple-websockets-chat-app)
//! with what a one-to-one chat needs: its rows also have a user id, and what is pushed goes to the
//! receiver's sockets only. As it is, it has no ack, no pushes to the sender's other sockets, no
//! history, no authorization and no traces; [`Scan::same_work`] adds them, and only then do two bills differ by the scan
//! alone. What stores messages is in neither: it stores none, and the price of a MongoDB is an input.
//!
//! Where it is not settled by the sample's code or by the price list, the assumption below leans in
//! its favour. Two of its own choices are not followed: it asks for 5 units a second provisioned (a
//! scan of 1,000 rows would wait for seconds), and it begins all pushes of a broadcast at once
//! ([`Scan::broadcast_ms`] has both).

use crate::bill::Bill;
use crate::chat::{ACK_BYTES, PONG_BYTES, PUSH_BYTES, history_bytes, messages_of};
use crate::invocation::{Network, PLATFORM_LOG_BYTES, Sampling, time_price};
use crate::prices;
use crate::usage::{DAYS, SECONDS, Usage};

/// Memory of its functions (`MemorySize` of its template), in MB. It names no architecture, so they
/// run on x86-64.
const MEMORY_MB: u64 = 256;

/// Bytes of a row: `connectionId` with its 16 characters, a user id with its name. Assumed.
const ROW_BYTES: f64 = 64.0;

/// A scan reads an older state unless told otherwise, which costs half.
///
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Scan.html#Scan.ReadConsistency>
const OLDER_STATE: f64 = 0.5;

/// A scan returns 1 MB at most; then the next call goes on.
///
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Scan.html#Scan.Pagination>
const SCAN_PAGE_BYTES: f64 = 1024.0 * 1024.0;

/// Milliseconds of one call of DynamoDB, whose documentation speaks of single-digit ones. Assumed.
const CALL_MS: f64 = 5.0;

/// Milliseconds that Node.js takes for an event and for each call beside waiting, at 256 MB, which
/// is a seventh of a CPU. Assumed.
const NODE_MS: f64 = 3.0;

/// Milliseconds of Node.js for each row that a scan returns, at 256 MB. Assumed: 2 µs on a whole CPU.
const ROW_MS: f64 = 0.014;

/// The sample, beside a chat with the same users.
pub struct Scan<'a> {
    /// What users do.
    pub usage: &'a Usage,
    /// What the network adds.
    pub network: Network,
    /// Whether it does what this chat does: ack, push to the sender's other sockets, give the
    /// history, look at tokens, trace.
    pub same_work: bool,
    /// Which invocations are traced then.
    pub sampling: Sampling,
}

impl Scan<'_> {
    /// Rows of the table: the sockets that are open on average.
    pub fn rows(&self) -> f64 {
        self.usage.open_sockets()
    }

    fn scan_bytes(&self) -> f64 {
        self.rows() * ROW_BYTES
    }

    fn scan_ms(&self) -> f64 {
        let pages = (self.scan_bytes() / SCAN_PAGE_BYTES).ceil().max(1.0);
        pages * (CALL_MS + NODE_MS) + self.rows() * ROW_MS
    }

    /// Dollars of a scan: units are rounded up.
    fn scan_price(&self) -> f64 {
        let units = (self.scan_bytes() / prices::DYNAMODB_READ_BYTES).ceil();
        units.max(1.0) * OLDER_STATE * prices::DYNAMODB_READ
    }

    /// Pushes of a message to one user, on average.
    fn pushes(&self) -> f64 {
        let receivers = self.usage.online_share * self.usage.sockets;
        match self.same_work {
            true => receivers + self.usage.sockets - 1.0,
            false => receivers,
        }
    }

    /// Billed milliseconds of a message to one user, on average.
    pub fn message_ms(&self) -> f64 {
        let posts_ms = self.pushes() * (self.network.post_ms + NODE_MS);
        (NODE_MS + self.scan_ms() + posts_ms).ceil()
    }

    /// Milliseconds of a message to every socket: one after the other, and all at once.
    pub fn broadcast_ms(&self) -> [f64; 2] {
        let scanned = NODE_MS + self.scan_ms();
        let each = self.rows() * (self.network.post_ms + NODE_MS);
        let at_once = self.network.post_ms + self.rows() * NODE_MS;
        [(scanned + each).ceil(), (scanned + at_once).ceil()]
    }

    fn invocation(&self, billed_ms: f64, traced: f64) -> Bill {
        Bill {
            requests: prices::LAMBDA_REQUEST,
            time: time_price(billed_ms, MEMORY_MB, prices::LAMBDA_X86_GB_SECOND),
            logs: PLATFORM_LOG_BYTES * prices::LOG_BYTE,
            traces: match self.same_work {
                true => traced * prices::TRACE,
                false => 0.0,
            },
            ..Bill::default()
        }
    }

    fn sent(&self, pushes: f64, billed_ms: f64, traced: f64) -> Bill {
        // By itself it pushes the text alone.
        let (ack, around) = match self.same_work {
            true => (ACK_BYTES, PUSH_BYTES),
            false => (0.0, 0.0),
        };
        let push = around + self.usage.message_bytes;
        let messages = 1.0 + messages_of(ack) + pushes * messages_of(push);
        self.invocation(billed_ms, traced)
            + Bill {
                messages: messages * prices::WEBSOCKET_MESSAGE,
                database: self.scan_price(),
                transfer: (ack + pushes * push) * prices::BYTE_OUT,
                ..Bill::default()
            }
    }

    /// One message more to one user.
    pub fn message(&self) -> Bill {
        self.sent(self.pushes(), self.message_ms(), self.sampling.of_more())
    }

    /// A page of the history, but for what stores it.
    fn history_read(&self, traced: f64) -> Bill {
        if !self.same_work {
            return Bill::default();
        }
        let bytes = history_bytes(self.usage);
        self.invocation(NODE_MS + CALL_MS, traced)
            + Bill {
                http: (bytes / prices::HTTP_REQUEST_BYTES).ceil() * prices::HTTP_REQUEST,
                transfer: bytes * prices::BYTE_OUT,
                ..Bill::default()
            }
    }

    /// Looks at a token, of a user a day.
    fn authorizations(&self) -> f64 {
        match self.same_work {
            true => self.usage.authorizations(),
            false => 0.0,
        }
    }

    /// One message to every socket, which is what the sample does, one push after the other.
    pub fn broadcast(&self) -> Bill {
        let traced = self.sampling.of_more();
        self.sent(self.rows(), self.broadcast_ms()[0], traced)
    }

    /// A month of all users. Its pings match no route, so they are answered by the gateway and
    /// invoke nothing.
    pub fn month(&self) -> Bill {
        let usage = self.usage;
        let user_days = usage.users * DAYS;
        let a_day =
            usage.messages + 2.0 * usage.connects() + usage.history_reads + self.authorizations();
        let traced = self.sampling.of_all(user_days * a_day, SECONDS);
        let row = Bill {
            database: prices::DYNAMODB_WRITE,
            ..self.invocation(NODE_MS + CALL_MS, traced)
        };
        let ping = Bill {
            messages: 2.0 * prices::WEBSOCKET_MESSAGE,
            transfer: PONG_BYTES * prices::BYTE_OUT,
            ..Bill::default()
        };
        let minute = Bill {
            minutes: prices::CONNECTION_MINUTE,
            ..Bill::default()
        };
        let message = self.sent(self.pushes(), self.message_ms(), traced);
        let day = message * usage.messages
            + ping * usage.pings()
            + row * (2.0 * usage.connects())
            + minute * usage.connection_minutes()
            + self.history_read(traced) * usage.history_reads
            + self.invocation(NODE_MS, traced) * self.authorizations();
        day * user_days
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn usage(users: &str) -> Usage {
        let flags = [
            users,
            "--sockets=1",
            "--hours-online=24",
            "--online-share=1",
        ];
        let command = Usage::augment_args(Command::new("usage").no_binary_name(true));
        let matches = command.try_get_matches_from(flags).expect("valid flags");
        Usage::from_arg_matches(&matches).expect("valid flags")
    }

    const NETWORK: Network = Network {
        database_ms: 1.0,
        post_ms: 10.0,
    };

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn a_scan_reads_every_row() {
        let usage = usage("--users=1000");
        let scan = Scan {
            usage: &usage,
            network: NETWORK,
            same_work: false,
            sampling: Sampling::Share(0.1),
        };
        assert_eq!(scan.rows(), 1_000.0);
        let million = scan.message() * 1e6;
        // 64,000 bytes are 16 units of 4 KB, at half of $0.125.
        assert!(close(million.database, 1.0));
        // The event 3, the scan 8 and 14 for its rows, the post 13: 38 ms at 256 MB.
        assert_eq!(scan.message_ms(), 38.0);
        assert!(close(million.time, 0.038 * 0.25 * 16.6667));
        assert!(close(million.messages, 2.0));
        // To all: 3 + 22 + 13,000 ms, or with all posts at once 3 + 22 + 10 + 3,000.
        assert_eq!(scan.broadcast_ms(), [13_025.0, 3_035.0]);
        assert!(close(scan.broadcast().messages * 1e6, 1_001.0));
    }

    #[test]
    fn a_large_table_takes_several_calls() {
        let usage = usage("--users=100000");
        let scan = Scan {
            usage: &usage,
            network: NETWORK,
            same_work: false,
            sampling: Sampling::Share(0.1),
        };
        // 6,400,000 bytes: 1,563 units, 7 pages.
        assert!(close(scan.message().database * 1e6, 1_563.0 * 0.0625));
        assert_eq!(scan.message_ms(), 3.0 + 56.0 + 1_400.0 + 13.0);
    }

    #[test]
    fn the_same_work_has_acks_and_traces_too() {
        let usage = usage("--users=1000");
        let alone = Scan {
            usage: &usage,
            network: NETWORK,
            same_work: false,
            sampling: Sampling::Share(0.1),
        };
        let same = Scan {
            same_work: true,
            ..alone
        };
        let more = same.message().messages - alone.message().messages;
        assert!(close(more * 1e6, 1.0));
        assert!(close(same.message().traces * 1e6, 0.5));
        assert_eq!(same.message().database, alone.message().database);
        assert!(close(alone.month().http, 0.0));
        assert!(close(same.month().http, 30_000.0 * 6.0 * 1e-6));
    }
}
