//! The bill of the chat.

use crate::bill::Bill;
use ::chat::delivery::slice::SLICE_USERS;

use crate::invocation::{
    DELIVER_PUSHES, Figures, Kind, Network, PLATFORM_LOG_BYTES, Sampling, time_price,
};
use crate::prices;
use crate::usage::{DAYS, SECONDS, Usage};

/// Bytes of an ack without the message's text.
const ACK_BYTES: f64 = 280.0;

/// Bytes of a push, and of a message in the history, without its text.
const PUSH_BYTES: f64 = 320.0;

/// Bytes of a client's frame without its text.
const FRAME_BYTES: f64 = 130.0;

/// Bytes of a frame about a conversation, and of what is passed on of it.
const HINT_BYTES: f64 = 160.0;

/// Bytes of a conversation in a list, and conversations of a page.
const LIST_ROW_BYTES: f64 = 480.0;
const LIST_ROWS: f64 = 50.0;

/// Connections that get an entry within the request.
const MAX_INLINE: f64 = 100.0;

/// Messages of a queue in one request of their sender.
const QUEUE_BATCH: f64 = 10.0;

/// Requests in which Lambda asks an empty queue for messages, a month: five at once, of 20 seconds each.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html>
const QUEUE_POLLS_MONTH: f64 = 5.0 * SECONDS / 20.0;

/// Bytes of a pong.
const PONG_BYTES: f64 = 56.0;

/// A deployed chat and its users.
pub struct Chat<'a> {
    /// Usage by its users.
    pub usage: &'a Usage,
    /// Time and log bytes of each invocation.
    pub figures: &'a Figures,
    /// Memory of the functions, in MB.
    pub memory_mb: u64,
    /// Network time, added to measured times.
    pub network: Network,
    /// Which invocations are traced.
    pub sampling: Sampling,
    /// Fixed price of the database a month.
    pub database_month: f64,
    /// Fixed price of alarms, dashboards and custom metrics a month.
    pub watching_month: f64,
}

/// Returns how many messages API Gateway bills for a frame of `bytes`.
fn messages_of(bytes: f64) -> f64 {
    (bytes / prices::WEBSOCKET_MESSAGE_BYTES).ceil()
}

/// Returns the bytes of a page of the history.
fn history_bytes(usage: &Usage) -> f64 {
    usage.history_messages * (PUSH_BYTES + usage.message_bytes)
}

impl Chat<'_> {
    /// Returns the mean billed milliseconds of an invocation.
    pub fn billed_ms(&self, kind: Kind, memory_mb: u64) -> f64 {
        let network_ms = kind.network_ms(self.network, self.usage.online_share);
        self.figures.invocations[&kind].billed_ms(memory_mb, network_ms)
    }

    fn invocation(&self, kind: Kind, traced: f64) -> Bill {
        let billed_ms = self.billed_ms(kind, self.memory_mb);
        let log_bytes = PLATFORM_LOG_BYTES + self.figures.log_bytes[&kind];
        Bill {
            requests: prices::LAMBDA_REQUEST,
            time: time_price(billed_ms, self.memory_mb),
            logs: log_bytes * prices::LOG_BYTE,
            traces: traced * prices::TRACE,
            ..Bill::default()
        }
    }

    /// Returns the bill of one more message: the client's frame, its ack, and a push to each
    /// connection of the receiver and to the sender's other connections.
    pub fn message(&self) -> Bill {
        self.message_traced(self.sampling.of_more())
    }

    fn message_traced(&self, traced: f64) -> Bill {
        let usage = self.usage;
        let pushes = usage.online_share * usage.connections + (usage.connections - 1.0);
        self.invocation(Kind::Send, traced) + self.frames(pushes)
    }

    /// Returns the bill of the frame of a message, its ack and so many pushes.
    fn frames(&self, pushes: f64) -> Bill {
        let frame = FRAME_BYTES + self.usage.message_bytes;
        let push = PUSH_BYTES + self.usage.message_bytes;
        let messages = messages_of(frame) + messages_of(ACK_BYTES) + pushes * messages_of(push);
        Bill {
            messages: messages * prices::WEBSOCKET_MESSAGE,
            transfer: (ACK_BYTES + pushes * push) * prices::BYTE_OUT,
            ..Bill::default()
        }
    }

    /// Returns the bill of one more message to a group whose `members` are all online, with `connections` each.
    pub fn group_message(&self, members: f64, connections: f64) -> Bill {
        let pushes = members * connections - 1.0;
        let traced = self.sampling.of_more();
        let pushing_ms = self.billed_ms(Kind::Deliver, self.memory_mb) * pushes;
        let pushing = Bill {
            time: time_price(pushing_ms / f64::from(DELIVER_PUSHES), self.memory_mb),
            ..Bill::default()
        };
        let message = self.invocation(Kind::Send, traced) + self.frames(pushes) + pushing;
        if pushes <= MAX_INLINE {
            return message;
        }
        let slices = (members / SLICE_USERS as f64).ceil();
        let slice = Bill {
            time: 0.0,
            ..self.invocation(Kind::Deliver, traced)
        };
        // A message of the queue is received, and deleted.
        let requests = (slices / QUEUE_BATCH).ceil() + 2.0 * slices;
        let queue = Bill {
            queue: requests * prices::QUEUE_REQUEST,
            ..Bill::default()
        };
        message + slice * slices + queue
    }

    /// Returns the bill of a ping and its pong.
    fn ping(&self, traced: f64) -> Bill {
        self.invocation(Kind::Ping, traced)
            + Bill {
                messages: 2.0 * prices::WEBSOCKET_MESSAGE,
                transfer: PONG_BYTES * prices::BYTE_OUT,
                ..Bill::default()
            }
    }

    /// Returns the bill of a frame of a kind that is passed on and has no answer: to the peer's connections if the
    /// peer is online, and to `own` of the user's others.
    fn hint(&self, kind: Kind, own: f64, traced: f64) -> Bill {
        let pushes = self.usage.online_share * self.usage.connections + own;
        self.invocation(kind, traced)
            + Bill {
                messages: (1.0 + pushes) * prices::WEBSOCKET_MESSAGE,
                transfer: pushes * HINT_BYTES * prices::BYTE_OUT,
                ..Bill::default()
            }
    }

    /// Returns the bill of a page of the list of conversations.
    fn list(&self, traced: f64) -> Bill {
        self.page(Kind::List, LIST_ROWS * LIST_ROW_BYTES, traced)
    }

    /// Returns the bill of a page of the history.
    fn history_read(&self, traced: f64) -> Bill {
        self.page(Kind::History, history_bytes(self.usage), traced)
    }

    fn page(&self, kind: Kind, bytes: f64, traced: f64) -> Bill {
        let requests = (bytes / prices::HTTP_REQUEST_BYTES).ceil();
        self.invocation(kind, traced)
            + Bill {
                http: requests * prices::HTTP_REQUEST,
                transfer: bytes * prices::BYTE_OUT,
                ..Bill::default()
            }
    }

    /// Returns the bill of all users for a month.
    pub fn month(&self) -> Bill {
        let usage = self.usage;
        let user_days = usage.users * DAYS;
        let a_day = usage.messages
            + usage.pings()
            + 2.0 * usage.connects()
            + usage.typings
            + usage.marks
            + usage.history_reads
            + usage.lists
            + usage.authorizations();
        let traced = self.sampling.of_all(user_days * a_day, SECONDS);
        let connection =
            self.invocation(Kind::Connect, traced) + self.invocation(Kind::Disconnect, traced);
        let minute = Bill {
            minutes: prices::CONNECTION_MINUTE,
            ..Bill::default()
        };
        let day = self.message_traced(traced) * usage.messages
            + self.ping(traced) * usage.pings()
            + connection * usage.connects()
            + minute * usage.connection_minutes()
            + self.hint(Kind::Typing, 0.0, traced) * usage.typings
            + self.hint(Kind::Mark, usage.connections - 1.0, traced) * usage.marks
            + self.history_read(traced) * usage.history_reads
            + self.list(traced) * usage.lists
            + self.invocation(Kind::Authorize, traced) * usage.authorizations();
        let fixed = Bill {
            database: self.database_month,
            watching: self.watching_month,
            queue: QUEUE_POLLS_MONTH * prices::QUEUE_REQUEST,
            ..Bill::default()
        };
        day * user_days + fixed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Args, Command, FromArgMatches};

    use super::*;
    use crate::invocation::{Invocations, KINDS};

    /// Parses `flags`; the others have their defaults.
    fn usage(flags: &[&str]) -> Usage {
        let command = Usage::augment_args(Command::new("usage").no_binary_name(true));
        let matches = command.try_get_matches_from(flags).expect("valid flags");
        Usage::from_arg_matches(&matches).expect("valid flags")
    }

    fn figures() -> Figures {
        Figures {
            invocations: KINDS.map(|kind| (kind, Invocations::Billed(10.0))).into(),
            log_bytes: KINDS.map(|kind| (kind, 450.0)).into(),
            custom_metrics: BTreeSet::new(),
        }
    }

    fn chat<'a>(usage: &'a Usage, figures: &'a Figures) -> Chat<'a> {
        Chat {
            usage,
            figures,
            memory_mb: 256,
            network: Network {
                database_ms: 1.0,
                post_ms: 10.0,
            },
            sampling: Sampling::Share(0.1),
            database_month: 57.0,
            watching_month: 5.0,
        }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn a_message_to_one_connection_is_three_messages_and_an_invocation() {
        let usage = usage(&["--sockets=1", "--online-share=1", "--message-bytes=80"]);
        let million = chat(&usage, &figures()).message() * 1e6;
        assert!(close(million.requests, 0.20));
        // 0.01 s x 0.25 GB x $0.0000133334
        assert!(close(million.time, 0.033_333_5));
        assert!(close(million.messages, 3.0));
        // 1,000 bytes a message are a GB.
        assert!(close(million.logs, 0.5));
        assert!(close(million.traces, 0.5));
        // An ack of 280 bytes, a push of 400.
        assert!(close(million.transfer, 0.0612));
        assert!(close(million.total(), 4.294_533_5));
    }

    #[test]
    fn a_message_to_a_group_pays_for_its_pushes_and_beyond_a_hundred_for_the_queue() {
        let usage = usage(&["--message-bytes=80"]);
        let figures = figures();
        let chat = chat(&usage, &figures);
        let [small, medium, large] = [10.0, 100.0, 1_000.0].map(|members| {
            let bill = chat.group_message(members, 1.5);
            (
                bill.messages * 1e6,
                bill.requests * 1e6,
                bill.queue * 1e6,
                bill.time * 1e6,
            )
        });
        // 10 ms for a send, and 10 for each hundred pushes, of 0.25 GB at $0.0000133334 a second.
        let time = |pushes: f64| (10.0 + pushes / 10.0) / 1e3 * 0.25 * 13.333_4;
        for (found, expected) in [
            (small, (16.0, 0.2, 0.0, time(14.0))),
            // One slice: it is sent, received and deleted.
            (medium, (151.0, 0.4, 3.0 * 0.4, time(149.0))),
            (large, (1_501.0, 1.2, 11.0 * 0.4, time(1_499.0))),
        ] {
            assert!(close(found.0, expected.0), "{found:?}");
            assert!(close(found.1, expected.1), "{found:?}");
            assert!(close(found.2, expected.2), "{found:?}");
            assert!(close(found.3, expected.3), "{found:?}");
        }
    }

    #[test]
    fn a_large_message_pays_for_each_32_kilobytes() {
        assert_eq!(messages_of(1.0), 1.0);
        assert_eq!(messages_of(32.0 * 1024.0), 1.0);
        assert_eq!(messages_of(32.0 * 1024.0 + 1.0), 2.0);
    }

    #[test]
    fn a_month_is_the_usage_of_all_users_and_the_fixed_prices() {
        let usage = usage(&[
            "--users=1000",
            "--messages=40",
            "--sockets=1",
            "--online-share=1",
            "--hours-online=3",
            "--sessions=1",
            "--ping-minutes=5",
            "--history-reads=6",
            "--typings=30",
            "--marks=20",
            "--lists=4",
        ]);
        let month = chat(&usage, &figures()).month();
        // A day of a user: 40 sends, 36 pings, 30 frames of typing and 20 marks, 1.5 connections opened and
        // closed, 6 pages of the history and 4 of the list, and an authorization for each of these
        // connections and pages.
        assert!(close(
            month.requests,
            30_000.0 * (40.0 + 36.0 + 50.0 + 3.0 + 10.0 + 11.5) * 0.2e-6
        ));
        assert!(close(
            month.messages,
            30_000.0 * (40.0 * 3.0 + 36.0 * 2.0 + 50.0 * 2.0) * 1e-6
        ));
        assert!(close(month.minutes, 30_000.0 * 180.0 * 0.25e-6));
        assert!(close(month.http, 30_000.0 * 10.0 * 1e-6));
        assert!(close(month.traces, 0.1 * 30_000.0 * 150.5 * 5e-6));
        assert!(close(month.queue, 648_000.0 * 0.4e-6));
        assert!(close(month.database, 57.0));
        assert!(close(month.watching, 5.0));
    }
}
