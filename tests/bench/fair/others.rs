//! The users whose sends are measured: pairs, of whom each sends a few messages a second to the other.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tests::Chat;
use tests::client::{Connect, Connection, Frame, Pending, Reply, Token};
use tests::issuer::Issuer;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout_at};

use crate::figures::Samples;
use crate::messages::{TEXT, WARM_UP};

/// Users, an even number.
const USERS: usize = 12;

/// Messages of each user in a measurement.
const MESSAGES: usize = 16;

/// Time between two messages of a user: no user reaches the rate limit.
const INTERVAL: Duration = Duration::from_millis(250);

/// Time limit of an ack: a message without one is sent again then.
const ACK_TIMEOUT: Duration = Duration::from_secs(35);

/// Pause before a message is sent again that was refused.
const RETRY: Duration = Duration::from_millis(100);

/// The chat has recovered from a flood when no send takes longer.
const CALM: Duration = Duration::from_millis(50);

/// Time limit of the recovery.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// Users with an open connection each.
pub struct Others(Vec<User>);

impl Others {
    /// Connects all users, and lets them send until their connections no longer count as new.
    pub async fn connect(chat: &Chat, issuer: &Issuer) -> Self {
        let mut users = Vec::new();
        for number in 0..USERS {
            users.push(User::connect(chat, issuer, number).await);
        }
        let mut others = Self(users);
        let start = Instant::now();
        while start.elapsed() < WARM_UP {
            others.send().await;
        }
        others
    }

    /// Sends the messages of a measurement; returns the times from a send to its ack.
    pub async fn send(&mut self) -> Samples {
        self.each(MESSAGES).await
    }

    /// Waits until the chat is as fast as it is without a flood.
    ///
    /// # Panics
    ///
    /// It takes too long.
    pub async fn settle(&mut self) {
        let start = Instant::now();
        while self.each(2).await.percentile_ms(100) > CALM.as_secs_f64() * 1e3 {
            let waited = start.elapsed();
            assert!(
                waited < RECOVERY_TIMEOUT,
                "it has not recovered in {waited:?}"
            );
        }
    }

    /// Sends so many messages of each user.
    async fn each(&mut self, messages: usize) -> Samples {
        let users = self.0.iter_mut().enumerate();
        let sends = users.map(async |(number, user)| {
            // They do not all send at once.
            sleep(INTERVAL * number as u32 / USERS as u32).await;
            user.send_some(messages).await
        });
        let mut all = Samples::default();
        for samples in join_all(sends).await {
            all.merge(samples);
        }
        all
    }
}

/// A user with a connection.
struct User {
    partner: String,
    connection: Connection,
}

impl User {
    async fn connect(chat: &Chat, issuer: &Issuer, number: usize) -> Self {
        // Pairs: 0 and 1, 2 and 3, …
        let [id, partner] = [number, number ^ 1].map(|number| format!("other-{number}"));
        let token = issuer.token(&id);
        let connect = Connect::user(&chat.ws, &id).token(Token::Header(&token));
        let connection = connect.open().await.expect("connected");
        Self {
            partner,
            connection,
        }
    }

    async fn send_some(&mut self, messages: usize) -> Samples {
        let mut samples = Samples::default();
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..messages {
            ticks.tick().await;
            let start = Instant::now();
            self.send().await;
            samples.add(start.elapsed());
        }
        samples
    }

    /// Sends a message until it is acknowledged, as clients do.
    ///
    /// # Panics
    ///
    /// The connection ends, or the message is rejected.
    async fn send(&mut self) {
        let id = format!("{:016x}", fastrand::u64(..));
        let mut pending = Pending::message(&id, &self.partner, TEXT);
        loop {
            let frame = pending.attempt(ACK_TIMEOUT).to_owned();
            let sent = self.connection.send(frame).await;
            sent.expect("the connection of another user is open");
            match self.reply(&pending).await {
                Some(Reply::Acked(_)) => return,
                Some(Reply::Rejected(rejection)) => panic!("{rejection:?}"),
                Some(Reply::Retry(_) | Reply::GatewayError(_)) => {
                    pending.fail(RETRY);
                    sleep(RETRY).await;
                }
                None => pending.fail(Duration::ZERO),
            }
        }
    }

    /// Waits for the reply to a message; returns `None` if it does not come in time.
    async fn reply(&mut self, pending: &Pending) -> Option<Reply> {
        loop {
            let text = timeout_at(pending.due(), self.connection.next())
                .await
                .ok()?;
            let text = text.expect("the connection of another user is open");
            if let Some(reply) = pending.reply(&Frame::parse(&text)) {
                return Some(reply);
            }
        }
    }
}
